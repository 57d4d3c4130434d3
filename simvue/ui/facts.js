/*
 * Facts: what can be said of a run in one value, under a dotted name: what compares runs.
 *
 * `status` and the like of every run, `metadata.…` and `system.…` for each leaf, and
 * `metrics.<name>.last` and its like.
 */

import { span, spanSeconds } from "./badge.js";
import { leaves } from "./columns.js";
import { number } from "./format.js";

/**
 * @typedef {import("./api.js").Run} Run
 *
 * @typedef {object} Fact
 * @property {string} id
 * @property {string} family `run`, `metadata`, `system` or `metrics`
 * @property {(run: Run) => string} text for people; empty if the run has none
 * @property {(run: Run) => number | null} number a finite number; null where it is none
 * @property {(run: Run) => string} exact for a file and for telling two apart
 * @property {string} [unit] of the number
 */

/** Metadata that the client writes unasked; what people wrote is looked for first. */
const UNASKED = /^metadata\.(?:git|python|rust|julia|javascript|simvue)\./;

/** What of a metric is compared. */
const SUMMARIES = /** @type {("last" | "min" | "max")[]} */ (["last", "min", "max"]);

/** @type {Fact[]} */
const OF_RUN = [
  text("status", (run) => run.status),
  text("folder", (run) => run.folder),
  text("tags", (run) => run.tags.join(", ")),
  text("user", (run) => run.user),
  text("description", (run) => run.description ?? ""),
  text("created", (run) => (run.created ?? "").slice(0, 19).replace("T", " ")),
  {
    id: "duration", family: "run", unit: " s",
    text: span, number: spanSeconds, exact: (run) => String(spanSeconds(run) ?? ""),
  },
];

/**
 * @param {string} id
 * @param {(run: Run) => string} read
 * @returns {Fact}
 */
function text(id, read) {
  return { id, family: "run", text: read, number: () => null, exact: read };
}

/**
 * Return every fact of *runs*, in the order in which a reader looks for them.
 *
 * @param {Run[]} runs
 * @returns {Fact[]}
 */
export function factsOf(runs) {
  const metadata = leafFacts("metadata", runs);
  return [
    ...OF_RUN, ...metadata.filter(({ id }) => !UNASKED.test(id)), ...metricFacts(runs),
    ...metadata.filter(({ id }) => UNASKED.test(id)), ...leafFacts("system", runs),
  ];
}

/**
 * @param {"metadata" | "system"} family
 * @param {Run[]} runs
 */
function leafFacts(family, runs) {
  /** @type {Map<string, Map<string, unknown>>} */
  const found = new Map();
  for (const run of runs) {
    for (const [key, value] of leaves(run[family])) {
      const values = found.get(key);
      if (values) values.set(run.id, value);
      else found.set(key, new Map([[run.id, value]]));
    }
  }
  return [...found].sort(([a], [b]) => order(a, b)).map(([key, values]) => (
    fact(`${family}.${key}`, family, (run) => values.get(run.id))));
}

/** @param {Run[]} runs */
function metricFacts(runs) {
  const names = new Set(runs.flatMap((run) => Object.keys(run.metrics)));
  return [...names].sort(order).flatMap((name) => SUMMARIES.map((summary) => (
    fact(`metrics.${name}.${summary}`, "metrics", (run) => (
      Object.hasOwn(run.metrics, name) ? run.metrics[name][summary] : undefined)))));
}

/**
 * @param {string} id
 * @param {string} family
 * @param {(run: Run) => unknown} value
 * @returns {Fact}
 */
function fact(id, family, value) {
  return {
    id, family,
    text: (run) => {
      const found = value(run);
      return typeof found === "number" ? number(found) : written(found);
    },
    number: (run) => {
      const found = value(run);
      return typeof found === "number" && Number.isFinite(found) ? found : null;
    },
    exact: (run) => written(value(run)),
  };
}

/** @param {unknown} value */
function written(value) {
  if (value === undefined || value === null) return "";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/**
 * @param {string} a
 * @param {string} b
 */
function order(a, b) {
  return a.localeCompare(b, "en", { numeric: true });
}
