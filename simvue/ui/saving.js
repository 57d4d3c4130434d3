/* Saving: a chart as a picture, as a table, as a link. */

import { Refused } from "./api.js";
import { csv, download } from "./csv.js";
import { askCuts, metricOver } from "./cuts.js";
import { element } from "./elements.js";
import { ink } from "./theme.js";

/** @typedef {import("./chart.js").Chart} Chart */

/** Buckets of a series in a file: up to so many rows come as they were logged. */
const ROWS_MAX = 100_000;

/** Pixels of a line of text in a picture. */
const TEXT = 20;

/**
 * Offer what can be done with *chart*, in a menu below *at*.
 *
 * @param {Chart} chart
 * @param {HTMLElement} at
 * @param {{ sources: import("./cuts.js").Source[], heard: (error: unknown) => void }} of
 */
export function offer(chart, at, { sources, heard }) {
  /** @type {[string, () => unknown][]} */
  const choices = [
    ["Save as PNG", () => savePicture(chart)],
    ["Save as CSV", () => saveTable(chart, sources).catch(heard)],
    ["Copy link", () => navigator.clipboard?.writeText(linkTo(chart)).catch(heard)],
  ];
  const menu = /** @type {any} */ (element("div", { class: "menu card", popover: "auto", role: "menu" }, ...choices.map(([says, act]) => element("button", {
    type: "button", class: "plain", role: "menuitem", onclick: () => { menu.hidePopover(); act(); },
  }, says))));
  menu.addEventListener("toggle", (/** @type {any} */ event) => { if (event.newState === "closed") menu.remove(); });
  document.body.append(menu);
  menu.showPopover();
  const box = at.getBoundingClientRect();
  menu.style.left = `${Math.max(8, box.right - menu.offsetWidth)}px`;
  menu.style.top = `${box.bottom + 4}px`;
}

/**
 * The address of this view with *chart* over the full screen.
 *
 * @param {Chart} chart
 */
function linkTo({ metric }) {
  const link = new URL(location.href);
  link.searchParams.set("full", metric);
  return link.href;
}

/** @param {Chart} chart */
function savePicture(chart) {
  const drawn = chart.plotter?.ctx.canvas;
  if (!drawn) return;
  const scale = devicePixelRatio;
  const names = chart.lines.length > 1 ? chart.lines : [];
  const above = TEXT * 2 * scale;
  const picture = document.createElement("canvas");
  picture.width = drawn.width;
  picture.height = above + drawn.height + names.length * TEXT * scale;
  const ctx = /** @type {CanvasRenderingContext2D} */ (picture.getContext("2d"));
  ctx.fillStyle = ink("--panel");
  ctx.fillRect(0, 0, picture.width, picture.height);
  ctx.fillStyle = ink("--ink");
  ctx.font = `600 ${13 * scale}px system-ui, sans-serif`;
  ctx.fillText(chart.metric, 12 * scale, TEXT * 1.3 * scale);
  ctx.drawImage(drawn, 0, above);
  ctx.font = `${12 * scale}px system-ui, sans-serif`;
  names.forEach(({ name, colour }, i) => {
    const top = above + drawn.height + i * TEXT * scale;
    ctx.fillStyle = colour();
    ctx.fillRect(12 * scale, top + 5 * scale, 18 * scale, 3 * scale);
    ctx.fillStyle = ink("--ink");
    ctx.fillText(name, 38 * scale, top + 11 * scale);
  });
  picture.toBlob(async (blob) => {
    if (blob) download(`${fileName(chart)}.png`, await blob.arrayBuffer(), "image/png");
  });
}

/**
 * Save the range that is shown: each row as it was logged, or, of more than ROWS_MAX, buckets.
 *
 * @param {Chart} chart
 * @param {import("./cuts.js").Source[]} sources
 */
async function saveTable(chart, sources) {
  const { view, metric } = chart;
  const { signal } = new AbortController();
  const lines = [["run", "name", metricOver(view) ?? view.xaxis, metric, "rows", "first", "min", "max"]];
  for (const source of sources) {
    const { cuts, refused } = await askCuts([source], [metric], ROWS_MAX, view, signal);
    if (refused) throw new Refused(422, refused);
    const cut = cuts.get(source.key)?.get(metric);
    cut?.x_last.forEach((x, i) => {
      if (view.range && (x < view.range[0] || x > view.range[1])) return;
      lines.push([source.run, source.name, ...[x, cut.last[i], cut.count[i], cut.first[i], cut.min[i], cut.max[i]].map(String)]);
    });
  }
  download(`${fileName(chart)}.csv`, csv(lines), "text/csv");
}

/** @param {Chart} chart */
function fileName({ metric }) {
  return metric.replace(/[^\p{L}\p{N}._-]+/gu, "_");
}
