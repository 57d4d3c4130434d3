/*
 * Columns: what the table of runs can show of a run, one column each.
 *
 * A column is known by its id: a word for what every run has (`name`), `metadata.seed` or
 * `system.hostname` for an attribute, `metrics.loss.last` for a summary of a metric.
 */

import { colourDot, since, span, spanSeconds, status, tags } from "./badge.js";
import { element, write } from "./elements.js";
import { number } from "./format.js";
import { runAddress } from "./router.js";

/**
 * @typedef {import("./api.js").Run} Run
 *
 * @typedef {object} Column
 * @property {string} id
 * @property {string} title
 * @property {number} width pixels, before anybody has dragged its edge
 * @property {boolean} [sortable] whether the server sorts by its id
 * @property {boolean} [falling] whether it is sorted downwards at first
 * @property {boolean} [ticking] whether what it shows changes while a run runs
 * @property {boolean} [figure] whether it holds numbers
 * @property {(cell: HTMLElement, run: Run, colours: Map<string, string>) => void} show brings a cell to a run
 * @property {(run: Run) => string} text for CSV
 */

/** What a metric's summary may be of. */
export const SUMMARIES = ["last", "min", "max", "average", "count"];

/** @type {Column[]} */
const FIXED = [
  {
    id: "status", title: "Status", width: 132,
    show: (cell, run) => {
      const mark = cell.firstElementChild ?? cell.appendChild(element("span"));
      status(/** @type {HTMLElement} */ (mark), run);
    },
    text: (run) => run.status,
  },
  {
    id: "name", title: "Name", width: 210, sortable: true,
    show: (cell, run) => {
      if (!cell.firstChild) {
        cell.append(element("a", { class: "name", href: runAddress(run.id) },
          colourDot(run), element("span", { dir: "auto" })));
      }
      const link = /** @type {Element} */ (cell.firstElementChild);
      write(/** @type {Element} */ (link.lastElementChild), run.name);
    },
    text: (run) => run.name,
  },
  plain("folder", "Folder", 130, (run) => run.folder),
  {
    id: "tags", title: "Tags", width: 150,
    show: (cell, run, colours) => cell.replaceChildren(...tags(run, colours)),
    text: (run) => run.tags.join(" "),
  },
  {
    id: "alerts", title: "Alerts", width: 100,
    show: (cell, run) => {
      const critical = run.alerts.filter((attached) => attached.status === "critical").length;
      cell.className = critical ? "alerts bad" : "alerts";
      write(cell, alertText(run));
      cell.title = run.alerts.map(({ alert, status: state }) => `${alert.name}: ${state ?? "not known yet"}`).join("\n");
    },
    text: alertText,
  },
  when("created", "Created", (run) => run.created),
  {
    id: "duration", title: "Duration", width: 100, ticking: true, figure: true,
    show: (cell, run) => write(cell, span(run)),
    text: (run) => String(spanSeconds(run) ?? ""),
  },
  plain("description", "Description", 260, (run) => run.description ?? ""),
  when("started", "Started", (run) => run.started),
  when("endtime", "Ended", (run) => run.endtime),
  when("modified", "Modified", (run) => run.modified),
  plain("user", "User", 110, (run) => run.user),
  plain("id", "Id", 210, (run) => run.id),
];

/** Ids of the columns that every run has. */
export const PLAIN = FIXED.map(({ id }) => id);

/** What the table shows to whoever has not chosen. */
export const USUAL = ["status", "name", "folder", "created", "duration", "tags", "alerts"];

/**
 * Return the column of an id; null for what is none.
 *
 * @param {string} id
 * @returns {Column | null}
 */
export function column(id) {
  const fixed = FIXED.find((known) => known.id === id);
  if (fixed) return fixed;
  const family = id.slice(0, id.indexOf("."));
  const key = id.slice(id.indexOf(".") + 1);
  if (!key) return null;
  if (family === "metadata" || family === "system") {
    return { ...plain(id, key, 120, (run) => textOf(leaf(run[family], key))), sortable: true };
  }
  const summary = key.slice(key.lastIndexOf(".") + 1);
  if (family !== "metrics" || !SUMMARIES.includes(summary)) return null;
  const name = key.slice(0, key.lastIndexOf("."));
  const value = (/** @type {Run} */ run) => /** @type {any} */ (run.metrics[name])?.[summary] ?? null;
  return {
    id, title: `${name} ${summary}`, width: 120, sortable: true, falling: true, figure: true,
    show: (cell, run) => {
      const shown = value(run);
      write(cell, typeof shown === "number" ? number(shown) : shown ?? "");
    },
    text: (run) => String(value(run) ?? ""),
  };
}

/**
 * Which parts of a run the columns need, as `listRuns` takes them.
 *
 * @param {Iterable<string>} wanted ids
 */
export function needs(wanted) {
  const families = new Set(Array.from(wanted, (id) => id.split(".")[0]));
  return { metrics: families.has("metrics"), metadata: families.has("metadata"), system: families.has("system") };
}

/**
 * List the leaves of nested metadata as [dotted key, value]; a list is a leaf.
 *
 * @param {unknown} value
 * @param {string} [key]
 * @returns {[string, unknown][]}
 */
export function leaves(value, key = "") {
  if (value === null || typeof value !== "object" || Array.isArray(value)) return key ? [[key, value]] : [];
  return Object.entries(value).flatMap(([name, inner]) => leaves(inner, key ? `${key}.${name}` : name));
}

/**
 * Find what stands under a dotted key; members may have dots of their own.
 *
 * @param {any} value
 * @param {string} key
 * @returns {unknown}
 */
function leaf(value, key) {
  if (value === null || typeof value !== "object") return undefined;
  if (Object.hasOwn(value, key)) return value[key];
  for (let at = key.indexOf("."); at > 0; at = key.indexOf(".", at + 1)) {
    const name = key.slice(0, at);
    const found = Object.hasOwn(value, name) ? leaf(value[name], key.slice(at + 1)) : undefined;
    if (found !== undefined) return found;
  }
  return undefined;
}

/** @param {unknown} value */
function textOf(value) {
  if (value === undefined || value === null) return "";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/**
 * The value of a run under a key that runs are grouped by.
 *
 * @param {Run} run
 * @param {string} key `folder`, `status`, `tags`, `user`, `metadata.…`, `system.…`
 * @returns {string[]} several for tags; one that is empty if the run has none
 */
export function groupsOf(run, key) {
  const values = key === "tags" ? run.tags : [column(key)?.text(run) ?? ""];
  return values.length ? values : [""];
}

/** @param {Run} run */
function alertText(run) {
  const critical = run.alerts.filter((attached) => attached.status === "critical").length;
  if (!run.alerts.length) return "";
  return critical ? `critical ${critical} of ${run.alerts.length}` : `✓ ${run.alerts.length}`;
}

/**
 * @param {string} id
 * @param {string} title
 * @param {number} width
 * @param {(run: Run) => string} text
 * @returns {Column}
 */
function plain(id, title, width, text) {
  return {
    id, title, width, text,
    show: (cell, run) => {
      const shown = text(run);
      cell.dir = "auto";
      cell.title = shown;
      write(cell, shown);
    },
  };
}

/**
 * @param {string} id
 * @param {string} title
 * @param {(run: Run) => import("./api.js").Moment} moment
 * @returns {Column}
 */
function when(id, title, moment) {
  return {
    id, title, width: 132, sortable: true, falling: true, ticking: true,
    show: (cell, run) => {
      const time = cell.firstElementChild ?? cell.appendChild(element("time"));
      since(/** @type {HTMLTimeElement} */ (time), moment(run));
    },
    text: (run) => moment(run) ?? "",
  };
}
