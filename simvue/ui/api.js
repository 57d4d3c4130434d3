/* Api: every question the page asks the server.  The browser's cookie says who asks. */

import { decode } from "./msgpack.js";

/**
 * @typedef {string | null} Moment UTC, `YYYY-MM-DDTHH:MM:SS.ffffff`
 * @typedef {"created" | "running" | "completed" | "failed" | "terminated" | "lost"} Status
 * @typedef {{ [key: string]: any }} Metadata
 * @typedef {object} Summary what a metric came to; min, max and average of its finite values
 * @property {number} count
 * @property {number | null} min
 * @property {number | null} max
 * @property {number | null} average
 * @property {number | string | null} last a text where JSON has no number: NaN, Infinity
 * @property {number} step
 * @property {number | null} time
 * @property {Moment} timestamp
 * @typedef {object} Run
 * @property {string} id
 * @property {string} name
 * @property {string} folder
 * @property {Status} status
 * @property {string | null} description
 * @property {Moment} created
 * @property {Moment} started
 * @property {Moment} endtime
 * @property {Moment} modified
 * @property {string | null} runtime
 * @property {string} user
 * @property {boolean} starred
 * @property {boolean} abort
 * @property {string[]} tags
 * @property {Metadata} metadata
 * @property {Metadata} system
 * @property {{ alert: Alert, status: "ok" | "critical" | null }[]} alerts
 * @property {{ [name: string]: Summary }} metrics
 * @property {number} dropped
 * @property {number[]} ranks
 * @typedef {object} Alert
 * @property {string} id
 * @property {string} name
 * @property {string | null} description
 * @property {"metrics" | "events" | "user"} source
 * @property {Metadata | null} alert
 * @property {"none" | "email"} notification
 * @property {boolean} enabled
 * @property {boolean} abort whether it ends a run on which it is critical
 * @property {Moment} created
 * @typedef {object} Folder
 * @property {string} id
 * @property {string} path
 * @property {string | null} name
 * @property {string | null} description
 * @property {string[]} tags
 * @property {Metadata} metadata
 * @property {boolean} starred
 * @property {number} runs those in it, not those below
 * @property {number | null} ttl seconds
 * @property {Moment} created
 * @typedef {{ id: string, name: string, colour: string, description: string, created: Moment }} Tag
 * @typedef {{ message: string, timestamp: string, log_level: string | null }} Event
 * @typedef {"alerts" | "folders" | "storage" | "tags" | "tenants" | "tokens" | "users"} Collection
 * @typedef {{ user: string, tenant: string, is_admin: boolean, scope: "read" | "write" | "admin", expires: string }} Whoami
 * @typedef {"input" | "output" | "code"} Category
 * @typedef {{ id: string, name: string, category: Category, size: number, mime_type: string, checksum: string, created: Moment, url: string | null }} Artifact
 * @typedef {{ run: { id: string, name: string }, artifact: { id: string, name: string } }} Use an artifact with the same bytes, and the run that has it
 * @typedef {{ checksum: string } & Record<Category, Use[]>} Lineage
 */

/**
 * @template Item
 * @typedef {{ count: number, data: Item[] }} Page count is how many there are in all
 */

/** The server answered, but not with what was asked for; `status` is its HTTP status. */
export class Refused extends Error {
  /**
   * @param {number} status
   * @param {string} detail
   */
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

/** There was no answer at all: the server or the network is gone. */
export class Unanswered extends Error {}

/**
 * Ask, and return the answer if it is one.  Members of *query* that are null are left out, and
 * arrays and objects go as JSON; *body* goes as JSON.
 *
 * @param {string} path below `/api`
 * @param {object} [options]
 * @param {string} [options.method]
 * @param {Record<string, any>} [options.query]
 * @param {unknown} [options.body]
 * @param {AbortSignal} [options.signal]
 * @returns {Promise<Response>} raises Refused, Unanswered; an AbortError if *signal* says so
 */
export async function ask(path, options = {}) {
  const { method = "GET", query = {}, body, signal } = options;
  const url = new URL(`/api${path}`, location.origin);
  for (const [name, value] of Object.entries(query)) {
    if (value === null || value === undefined) continue;
    url.searchParams.set(name, typeof value === "object" ? JSON.stringify(value) : value);
  }
  const answer = await fetch(url, {
    method,
    credentials: "same-origin",
    signal,
    ...(body !== undefined && { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } }),
  }).catch((error) => {
    throw signal?.aborted ? error : new Unanswered(error.message);
  });
  if (answer.ok) return answer;
  throw new Refused(answer.status, await reason(answer));
}

/**
 * Read why a question was refused, in words.
 *
 * @param {Response} answer
 */
async function reason(answer) {
  try {
    const { detail } = await answer.json();
    if (typeof detail === "string") return detail;
    return detail.map((/** @type {{ loc: string[], msg: string }} */ { loc, msg }) => `${loc.join(".")}: ${msg}`).join("; ");
  } catch {
    // A proxy's page, not our server's JSON: the status is all there is to say.
    return `The server answered ${answer.status}.`;
  }
}

/**
 * Read an answer in JSON.  Metadata may hold the bare tokens NaN and Infinity.
 *
 * @param {Response} answer
 */
export async function json(answer) {
  const text = await answer.text();
  try {
    return JSON.parse(text);
  } catch {
    // Strings are matched first and left alone, so only bare tokens are made into strings.
    return JSON.parse(text.replace(/"(?:[^"\\]|\\.)*"|-?Infinity|NaN/g,
      (token) => (token[0] === '"' ? token : `"${token}"`)));
  }
}

/**
 * @param {string} path
 * @param {Record<string, any>} [query]
 * @param {AbortSignal} [signal]
 */
async function read(path, query, signal) {
  return json(await ask(path, { query, signal }));
}

/**
 * @param {string} method
 * @param {string} path
 * @param {unknown} [body]
 * @param {Record<string, any>} [query]
 */
async function send(method, path, body, query) {
  return json(await ask(path, { method, body, query }));
}

// ---- What is asked often and seldom changes ----------------------------------------------

/** @type {Map<string, { until: number, answer: Promise<any> }>} */
const kept = new Map();

/** Answers kept at hand; the oldest goes first. */
const KEPT_MAX = 64;

/**
 * Return the answer of *make*, the one that is at hand if it is not older than *seconds*.
 *
 * @template Answer
 * @param {string} name
 * @param {number} seconds
 * @param {() => Promise<Answer>} make
 * @returns {Promise<Answer>}
 */
export function keptFor(name, seconds, make) {
  const known = kept.get(name);
  if (known && known.until > Date.now()) return known.answer;
  const answer = make();
  kept.delete(name);
  kept.set(name, { until: Date.now() + seconds * 1_000, answer });
  if (kept.size > KEPT_MAX) kept.delete(/** @type {string} */ (kept.keys().next().value));
  // A refusal is no answer to keep.
  answer.catch(() => kept.delete(name));
  return answer;
}

/**
 * Forget what is at hand under names that begin with *prefix*: it was just changed.
 *
 * @param {string} prefix
 */
export function forget(prefix) {
  for (const name of [...kept.keys()]) if (name.startsWith(prefix)) kept.delete(name);
}

// ---- Runs ----------------------------------------------------------------------------------

/** Runs on one page of a list, at most, as the server gives them. */
export const PAGE_MAX = 1_000;

/**
 * A page of runs that meet every one of *filters*.  Without *metrics*, *metadata* or *system* a
 * server that knows how leaves these out.
 *
 * @param {object} [options]
 * @param {string[]} [options.filters] as wire.md section 7 has them
 * @param {{ id: string, desc: boolean }[]} [options.sorting]
 * @param {number} [options.start]
 * @param {number} [options.count]
 * @param {boolean} [options.metrics]
 * @param {boolean} [options.metadata]
 * @param {boolean} [options.system]
 * @param {AbortSignal} [signal]
 * @returns {Promise<Page<Run>>}
 */
export function listRuns(options = {}, signal) {
  const {
    filters = [], sorting = [], start = 0, count = 100, metrics = true, metadata = true, system = true,
  } = options;
  return read("/runs", {
    start, count, sorting, filters,
    unwanted: Object.entries({ metrics, metadata, system }).filter(([, wanted]) => !wanted).map(([name]) => name),
  }, signal);
}

/**
 * Cut *list* into lists of *size*.
 *
 * @template Item
 * @param {Item[]} list
 * @param {number} size
 * @returns {Item[][]}
 */
export function slices(list, size) {
  return Array.from({ length: Math.ceil(list.length / size) }, (_, i) => list.slice(i * size, (i + 1) * size));
}

/** Ids in one request: a URL of a few thousand letters. */
const IDS = 100;

/**
 * Ask for runs by their ids, in any order and without those that are not there.
 *
 * @param {string[]} runs
 * @param {AbortSignal} [signal]
 * @param {boolean} [whole] with metrics, metadata and system
 * @returns {Promise<Run[]>}
 */
export async function getRuns(runs, signal, whole = true) {
  const pages = await Promise.all(slices(runs, IDS).map((some) => read("/runs", {
    runs: some, count: some.length, unwanted: whole ? [] : ["metrics", "metadata", "system"],
  }, signal)));
  return pages.flatMap((/** @type {Page<Run>} */ { data }) => data);
}

/**
 * One run, whole.
 *
 * @param {string} run
 * @param {AbortSignal} [signal]
 * @returns {Promise<Run>}
 */
export function getRun(run, signal) {
  return read(`/runs/${run}`, {}, signal);
}

/**
 * Ask for the processes that shared a run, by attempt and rank.
 *
 * @param {string} run
 * @param {AbortSignal} [signal]
 * @returns {Promise<{ attempt: number, rank: number | null, status: Status }[]>}
 */
export function processes(run, signal) {
  return read(`/runs/${run}/processes`, {}, signal);
}

/**
 * @param {string} run
 * @param {Record<string, unknown>} changes tags replace, metadata merges
 */
export function updateRun(run, changes) {
  return send("PUT", `/runs/${run}`, changes);
}

/** @param {string} run */
export function deleteRun(run) {
  return send("DELETE", `/runs/${run}`);
}

// ---- Metrics and events ------------------------------------------------------------------------

/**
 * The names of the metrics of runs, together and sorted.
 *
 * @param {string | string[]} runs
 * @param {AbortSignal} [signal]
 * @returns {Promise<string[]>}
 */
export function metricNames(runs, signal) {
  return read("/metrics/names", { runs: [runs].flat() }, signal);
}

/**
 * The buckets of *metrics* of several runs, or ranks of them, for each in its place: by metric, as
 * `series.js` reads them, at most *points* each; null if there is no such run; or why there are none.
 *
 * @param {[run: string, rank: number | null, start: number | null][]} sources
 * @param {{ metrics: string[], xaxis: string, log?: boolean, points: number, end?: number }} range
 * @param {AbortSignal} [signal]
 * @returns {Promise<({ [name: string]: import("./series.js").Buckets } | null | string)[]>}
 */
export async function series(sources, { metrics, xaxis, log, points, end }, signal) {
  const query = { sources, metrics, xaxis, xscale: log ? "log" : null, max_points: points, end };
  return decode(await (await ask("/metrics/buckets", { query, signal })).arrayBuffer());
}

/**
 * A page of a run's events, oldest first.
 *
 * @param {string} run
 * @param {{ find?: string, level?: string, start: number, count: number }} range of *level* and graver ones
 * @param {AbortSignal} [signal]
 * @returns {Promise<Page<Event>>}
 */
export function listEvents(run, { find, level, start, count }, signal) {
  const filters = [find && `event.message contains ${find}`, level && `event.log_level >= ${level}`].filter(Boolean);
  return read("/events", { run, start, count, filters }, signal);
}

// ---- Folders, tags, people ----------------------------------------------------------------------

/**
 * All folders.
 *
 * @returns {Promise<Folder[]>}
 */
export function listFolders() {
  return keptFor("folders", 10, () => listAll("folders"));
}

/**
 * The tags, by name; the first thousand of them.
 *
 * @returns {Promise<Page<Tag>>}
 */
export function listTags() {
  return keptFor("tags", 10, () => read("/tags", {
    start: 0, count: PAGE_MAX, sorting: [{ id: "name", desc: false }],
  }));
}

/**
 * @param {string} tag an id
 * @param {Partial<Tag>} changes
 */
export async function updateTag(tag, changes) {
  await send("PUT", `/tags/${tag}`, changes);
  forget("tags");
}

/**
 * Make a token; its text is told this once.
 *
 * @param {{ name: string, scope?: "read" | "write" | "admin", lifetime?: number, user?: string }} token lifetime in seconds; for whom, by id
 * @returns {Promise<{ id: string, token: string, expires: Moment }>}
 */
export function makeToken(token) {
  return send("POST", "/tokens", token);
}

/** @returns {Promise<Whoami>} */
export function whoami() {
  return keptFor("whoami", 60, () => read("/whoami"));
}

// ---- Objects that are listed and edited ---------------------------------------------------------

/**
 * All objects of a collection, page after page.
 *
 * @param {Collection} collection
 * @param {AbortSignal} [signal]
 * @returns {Promise<any[]>}
 */
export async function listAll(collection, signal) {
  const found = [];
  for (;;) {
    /** @type {any} */
    const page = await read(`/${collection}`, { start: found.length, count: PAGE_MAX }, signal);
    // Storages come as a bare array, all at once.
    if (Array.isArray(page)) return page;
    found.push(...page.data);
    if (found.length >= page.count || !page.data.length) return found;
  }
}

/**
 * @param {Collection} collection
 * @param {Record<string, unknown>} members
 * @returns {Promise<{ id: string }>}
 */
export async function create(collection, members) {
  const made = await send("POST", `/${collection}`, members);
  forget(collection);
  return made;
}

/**
 * @param {Collection} collection
 * @param {string} id
 * @param {Record<string, unknown>} changes
 */
export async function update(collection, id, changes) {
  await send("PUT", `/${collection}/${id}`, changes);
  forget(collection);
}

/**
 * @param {Collection} collection
 * @param {string} id
 * @param {Record<string, unknown>} [query]
 */
export async function remove(collection, id, query) {
  await send("DELETE", `/${collection}/${id}`, undefined, query);
  forget(collection);
}

/**
 * @param {string} folder an id
 * @param {boolean} starred
 */
export function starFolder(folder, starred) {
  return send("PUT", `/folders/${folder}/starred`, { starred });
}

/** @returns {Promise<{ version: string, features: string[] }>} */
export function version() {
  return read("/version");
}

// ---- One run: its end, its artifacts -----------------------------------------------------------

/**
 * Ask a run to stop.
 *
 * @param {string} run
 * @param {string} reason
 */
export function abortRun(run, reason) {
  return send("PUT", `/runs/${run}/abort`, reason ? { reason } : undefined);
}

/**
 * @param {string} run
 * @param {AbortSignal} [signal]
 * @returns {Promise<Artifact[]>} those whose bytes have arrived
 */
export function listArtifacts(run, signal) {
  return read(`/runs/${run}/artifacts`, {}, signal);
}

/**
 * Who made the bytes of an artifact and who used them.
 *
 * @param {string} artifact an id
 * @param {AbortSignal} [signal]
 * @returns {Promise<Lineage>}
 */
export function lineageOf(artifact, signal) {
  return read(`/artifacts/${artifact}/lineage`, {}, signal);
}

/**
 * The first *most* bytes of an artifact.
 *
 * @param {Artifact} artifact
 * @param {number} most
 * @param {AbortSignal} [signal]
 */
export async function artifactBytes({ url }, most, signal) {
  const headers = { Range: `bytes=0-${most - 1}` };
  const answer = await fetch(url ?? "", { headers, signal }).catch((error) => {
    throw signal?.aborted ? error : new Unanswered(error.message);
  });
  // 416: there are no bytes at all.
  if (answer.status === 416) return new Uint8Array();
  if (!answer.ok) throw new Refused(answer.status, await reason(answer));
  return new Uint8Array(await answer.arrayBuffer());
}
