/*
 * Preview: what an artifact looks like, as far as a browser may show what a stranger made.
 *
 * Text and tables become text nodes.  Images go into <img>, which runs no script, not even an
 * SVG's.  Figures are drawn by plotly in a frame of their own, which has no origin, no cookies
 * and no network.  Everything else can be downloaded.
 */

import { artifactBytes } from "./api.js";
import { element } from "./elements.js";
import { integer } from "./format.js";

/** @typedef {import("./api.js").Artifact} Artifact */

/** Bytes of a text, a table and a figure that are looked at. */
const TEXT_MAX = 65_536;
const TABLE_MAX = 262_144;
const FIGURE_MAX = 16 * 2 ** 20;

/** Rows and columns of a table that are shown. */
const ROWS_MAX = 200;
const COLUMNS_MAX = 50;

const FIGURE = "application/vnd.plotly.v1+json";
const TABLES = ["text/csv", "application/vnd.simvue.df.v1"];
const IMAGES = /^image\/(png|jpeg|gif|webp|avif|bmp|svg\+xml)$/;
const TEXTS = /^text\/|^application\/(json|xml|toml|yaml|x-yaml|javascript|x-sh|x-python|sql|x-ipynb\+json|x-tex)$/;

/**
 * Return what shows *artifact*; text and data are asked for.
 *
 * @param {Artifact} artifact
 * @param {AbortSignal} signal
 * @returns {Promise<HTMLElement>}
 */
export async function preview(artifact, signal) {
  const { mime_type: type, size, name } = artifact;
  if (!artifact.url) return element("p", { class: "total" }, "Its bytes have not arrived.");
  if (IMAGES.test(type)) return element("img", { src: artifact.url, alt: name });
  if (type === FIGURE) {
    if (size > FIGURE_MAX) return element("p", {}, "This figure is too large to be drawn here.");
    return figure(text(await artifactBytes(artifact, FIGURE_MAX, signal)), name);
  }
  if (TABLES.includes(type)) return table(text(await artifactBytes(artifact, TABLE_MAX, signal)), size > TABLE_MAX);
  const bytes = await artifactBytes(artifact, TEXT_MAX, signal);
  // A NUL is in no text, and in the first bytes of nearly everything else.
  if (!TEXTS.test(type) && bytes.includes(0)) {
    return element("p", { class: "total" }, `There is no preview of ${type}; it can be downloaded.`);
  }
  return element("div", {}, element("pre", { dir: "auto", tabIndex: 0 }, text(bytes)),
    size > TEXT_MAX && element("p", { class: "total" }, `These are the first ${integer(TEXT_MAX)} of ${integer(size)} bytes.`));
}

/** @param {Uint8Array} bytes whose last letter may be cut, and is left out then */
function text(bytes) {
  return new TextDecoder().decode(bytes, { stream: true });
}

/**
 * @param {string} content CSV
 * @param {boolean} cut whether it ends before its end
 */
function table(content, cut) {
  const rows = readCsv(content, ROWS_MAX + 2);
  if (cut && rows.length <= ROWS_MAX) rows.pop();
  const [head = [], ...body] = rows;
  const more = cut || body.length > ROWS_MAX || head.length > COLUMNS_MAX;
  return element("div", {},
    element("div", { class: "scrolls", tabIndex: 0, role: "region", "aria-label": "Table" }, element("table", { class: "data" },
      element("thead", {}, element("tr", {}, ...head.slice(0, COLUMNS_MAX).map((cell) => element("th", { scope: "col", dir: "auto" }, cell)))),
      element("tbody", {}, ...body.slice(0, ROWS_MAX).map((row) => element("tr", {},
        ...row.slice(0, COLUMNS_MAX).map((cell) => element("td", { dir: "auto" }, cell))))))),
    more && element("p", { class: "total" }, `These are its first ${ROWS_MAX} rows and ${COLUMNS_MAX} columns, at most.`));
}

/**
 * Read CSV (RFC 4180), at most *most* rows of it.
 *
 * @param {string} content
 * @param {number} most
 * @returns {string[][]}
 */
export function readCsv(content, most) {
  /** @type {string[][]} */
  const rows = [];
  const field = /("(?:[^"]|"")*"?|[^,\r\n]*)(,|\r?\n|\r|$)/gy;
  /** @type {string[]} */
  let row = [];
  while (field.lastIndex < content.length && rows.length < most) {
    const [, cell, end] = /** @type {RegExpExecArray} */ (field.exec(content) ?? ["", "", "\n"]);
    row.push(cell.startsWith('"') ? cell.slice(1, cell.length > 1 && cell.endsWith('"') ? -1 : undefined).replaceAll('""', '"') : cell);
    if (end === ",") continue;
    rows.push(row);
    row = [];
  }
  if (row.length) rows.push(row);
  return rows;
}

/**
 * A figure, drawn by plotly in a frame that is nobody's: its JSON is a stranger's.
 *
 * @param {string} content
 * @param {string} name
 */
function figure(content, name) {
  const frame = element("iframe", { src: "/figure", title: name, class: "figure-frame", sandbox: "allow-scripts" });
  // The frame has no origin that could be named; what it is told is what is shown in it.
  frame.addEventListener("load", () => frame.contentWindow?.postMessage(content, "*"));
  return frame;
}
