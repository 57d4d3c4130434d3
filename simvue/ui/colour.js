/*
 * Colour: the one colour of a run, the same in every view and for everybody.
 *
 * It follows from the id alone.  Twelve hues that those who see fewer colours can tell apart
 * stand in the style sheet as `--hue-0` to `--hue-11`, once for light and once for dark ground.
 * Of many runs some share a hue; most of these differ in the dashes of their lines, and so in
 * the cut of their dots.
 */

import { ink } from "./theme.js";

export const HUES = 12;

/** Lengths of dashes and gaps in pixels; runs of one hue most often differ in these. */
const DASHES = [[], [7, 4], [2, 3]];

/** What is cut out of the dot that stands for a line, for each of DASHES: nothing, its middle, a half. */
const CUTS = ["", "radial-gradient(var(--panel) 34%, #0000 38%)", "linear-gradient(90deg, var(--panel) 50%, #0000 0)"];

/** @param {string} run an id */
function place(run) {
  let sum = 0;
  for (const letter of run) sum = (sum * 31 + /** @type {number} */ (letter.codePointAt(0))) % 65_521;
  return sum;
}

/**
 * The colour of a run for a style, which follows the theme by itself.
 *
 * @param {string} run an id
 */
export function tint(run) {
  return `var(--hue-${place(run) % HUES})`;
}

/**
 * The colour of a run for a canvas, as it is now: `#rrggbb`.
 *
 * @param {string} run an id
 */
export function hue(run) {
  return ink(`--hue-${place(run) % HUES}`);
}

/**
 * The dashes of a run's line, for charts in which several runs are drawn.
 *
 * @param {string} run an id
 * @returns {number[]}
 */
export function dash(run) {
  return DASHES[Math.floor(place(run) / HUES) % DASHES.length];
}

/**
 * The background of the dot that stands for a line of *colour* and *dashes*.
 *
 * @param {string} colour
 * @param {number[]} dashes
 */
export function cutDot(colour, dashes) {
  return `${CUTS[DASHES.indexOf(dashes)] ?? ""} ${colour}`;
}
