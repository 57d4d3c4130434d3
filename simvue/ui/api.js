/* Api: every question the page asks the server.  The browser's cookie says who asks. */

import { decode } from "./msgpack.js";

/** The server answered, but not with what was asked for; `status` is its HTTP status. */
export class Refused extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

/** There was no answer at all: the server or the network is gone. */
export class Unanswered extends Error {}

async function ask(path, query, signal) {
  const address = new URL(`/api${path}`, location.origin);
  for (const [name, value] of Object.entries(query)) {
    if (value === null || value === undefined) continue;
    address.searchParams.set(name, typeof value === "object" ? JSON.stringify(value) : value);
  }
  const answer = await fetch(address, { credentials: "same-origin", signal }).catch((error) => {
    throw signal?.aborted ? error : new Unanswered(error.message);
  });
  if (answer.ok) return answer;
  let detail = `The server answered ${answer.status}.`;
  try {
    detail = (await answer.json()).detail ?? detail;
  } catch {
    // A proxy's page, not our server's JSON: the status is all there is to say.
  }
  throw new Refused(answer.status, typeof detail === "string" ? detail : JSON.stringify(detail));
}

/** Read an answer in JSON.  Metadata may hold the bare tokens NaN and Infinity. */
async function json(answer) {
  const text = await answer.text();
  try {
    return JSON.parse(text);
  } catch {
    // Strings are matched first and left alone, so only bare tokens are made into strings.
    return JSON.parse(text.replace(/"(?:[^"\\]|\\.)*"|-?Infinity|NaN/g,
      (token) => (token[0] === '"' ? token : `"${token}"`)));
  }
}

/** A page of runs: `{count, data}`.  *find* is part of a name; *sort* a column. */
export async function listRuns({ find, sort, descending, start, count }, signal) {
  return json(await ask("/runs", {
    start,
    count,
    sorting: [{ id: sort, desc: descending }],
    filters: find ? [`name contains ${find}`] : [],
  }, signal));
}

/** One run, whole. */
export async function getRun(run, signal) {
  return json(await ask(`/runs/${run}`, {}, signal));
}

/** The names of a run's metrics, sorted. */
export async function metricNames(run, signal) {
  return json(await ask("/metrics/names", { runs: [run] }, signal));
}

/**
 * The buckets of *metrics*: `{name: {count, nonfinite, first, last, min, max, x_first, ...}}`,
 * as `series.js` reads them; at most *points* buckets a metric between *start* and *end*.
 */
export async function series(run, { metrics, xaxis, points, start, end }, signal) {
  const query = { metrics, xaxis, max_points: points, start, end };
  const answer = await ask(`/runs/${run}/series`, query, signal);
  return decode(await answer.arrayBuffer());
}

/** A page of a run's events, oldest first: `{count, data}`. */
export async function listEvents(run, { find, start, count }, signal) {
  const filters = find ? [`event.message contains ${find}`] : [];
  return json(await ask("/events", { run, start, count, filters }, signal));
}
