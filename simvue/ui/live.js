/*
 * Live: what changed, heard from the server over one stream that all views share.
 *
 * An event names a run and a topic and carries no values: whoever wants to know more asks for
 * it.  `hello` says that all may have changed.  A browser opens few connections to one server,
 * for all its tabs together, so a tab that nobody sees keeps no stream.
 */

/**
 * @typedef {"run" | "rows"} Topic its state or description changed · rows of it were stored
 * @typedef {object} Interest what a listener wants to hear of
 * @property {Topic[]} topics
 * @property {string[]} [runs] ids; all runs, if there are none
 * @typedef {(topic: Topic | "hello", run: string) => void} Heard
 */

/** Ids named in the stream's address, 23 letters each; beyond it all runs are heard of. */
const NAMED_MAX = 100;

/**
 * Milliseconds that interests are collected before the stream is opened for them: a page that is
 * being opened comes to all of its own, since each opening has everybody ask anew.
 */
const SETTLE = 250;

/** @type {Map<object, {interest: Interest, heard: Heard}>} */
const listeners = new Map();
/** @type {EventSource | null} */
let stream = null;
/** @type {string | null} */
let open = null;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let settling;

/** Tell whether changes are heard of; if not, whoever wants to know has to ask again and again. */
export function hears() {
  return stream?.readyState === EventSource.OPEN;
}

/**
 * Hear of changes until `close()` of what is returned.
 *
 * @param {Interest} interest
 * @param {Heard} heard
 * @returns {{ close(): void }}
 */
export function listen(interest, heard) {
  const key = {};
  listeners.set(key, { interest, heard });
  settle();
  return {
    close() {
      listeners.delete(key);
      settle();
    },
  };
}

function settle() {
  clearTimeout(settling);
  settling = setTimeout(connect, SETTLE);
}

function connect() {
  const wanted = document.hidden || listeners.size === 0 ? null : streamAddress();
  if (wanted === open && stream?.readyState !== EventSource.CLOSED) return;
  stream?.close();
  stream = null;
  open = wanted;
  if (wanted === null) return;
  stream = new EventSource(wanted);
  stream.addEventListener("hello", () => tell("hello", ""));
  // From now on nothing is heard: whoever listens has to ask.
  stream.addEventListener("error", () => tell("hello", ""));
  for (const topic of /** @type {Topic[]} */ (["run", "rows"])) {
    stream.addEventListener(topic, (event) => tell(topic, JSON.parse(event.data).run));
  }
}

/** The least that holds everybody's interest: each topic of each run that anybody named. */
function streamAddress() {
  const topics = new Set();
  const runs = new Set();
  let all = false;
  for (const { interest } of listeners.values()) {
    for (const topic of interest.topics) topics.add(topic);
    for (const run of interest.runs ?? []) runs.add(run);
    all ||= !interest.runs?.length;
  }
  all ||= runs.size > NAMED_MAX;
  const query = `topics=${[...topics].sort()}`;
  return `/api/live?${query}${all ? "" : `&runs=${[...runs].sort()}`}`;
}

/**
 * @param {Topic | "hello"} topic
 * @param {string} run
 */
function tell(topic, run) {
  for (const { interest, heard } of [...listeners.values()]) {
    const named = !interest.runs?.length || interest.runs.includes(run);
    if (topic === "hello" || (interest.topics.includes(topic) && named)) heard(topic, run);
  }
}

document.addEventListener("visibilitychange", settle);
// A browser gives up for good where the server refuses, say because too many listen.
setInterval(() => { if (stream?.readyState === EventSource.CLOSED) connect(); }, 10_000);
