/*
 * Cuts: the series that charts show, as many buckets of them as there are pixels.
 *
 * The server cuts along step, time, timestamp or another metric, into buckets of equal width, or
 * of equal ratio for a logarithmic axis.
 */

import { series } from "./api.js";
import { read } from "./series.js";

/**
 * @typedef {import("./series.js").Cut} Cut
 * @typedef {import("./chart.js").View} View
 *
 * @typedef {object} Source whose series it is
 * @property {string} key
 * @property {string} run
 * @property {number} [rank] of a run that several share
 * @property {string} name
 * @property {() => string} colour
 * @property {number[]} dash
 */

/** Part of a zoomed range that is asked for beyond each of its ends, so that lines leave the chart. */
const MARGIN = 0.1;

/** Metrics in one request: their names must fit in a URL of a few thousand letters. */
const BATCH = 24;

/** Buckets of what is new in a run, at most: it has been as long as a look at it takes. */
const TAIL = 64;

/** @param {View} view */
export function metricOver({ xaxis }) {
  return xaxis.startsWith("metric:") ? xaxis.slice("metric:".length) : null;
}

/**
 * Ask for *metrics* of *source* as *view* shows them, in *points* buckets.
 *
 * @param {Source} source
 * @param {string[]} metrics
 * @param {number} points
 * @param {View} view
 * @param {AbortSignal} signal
 */
export function askCuts(source, metrics, points, { xaxis, log, range }, signal) {
  const margin = range ? (range[1] - range[0]) * MARGIN : 0;
  return askRange(source, metrics, {
    xaxis, log: log.includes("x"),
    points: range ? Math.ceil(points * (1 + 2 * MARGIN)) : points,
    ...(range && { start: range[0] - margin, end: range[1] + margin }),
  }, signal);
}

/**
 * Ask for what *metrics* of *source* have from *start* on.
 *
 * @param {Source} source
 * @param {string[]} metrics
 * @param {number} start
 * @param {View} view
 * @param {AbortSignal} signal
 */
export function askTail(source, metrics, start, { xaxis }, signal) {
  return askRange(source, metrics, { xaxis, points: TAIL, start }, signal);
}

/**
 * Ask for *metrics* of *source* as the server cuts them; the wall clock in seconds.
 *
 * @param {Source} source
 * @param {string[]} metrics
 * @param {{ xaxis: string, log?: boolean, points: number, start?: number, end?: number }} range
 * @param {AbortSignal} signal
 * @returns {Promise<Map<string, Cut>>} without those that the run does not have
 */
export async function askRange({ run, rank }, metrics, range, signal) {
  // The server counts the wall clock in microseconds, a chart in seconds.
  const place = (/** @type {number | undefined} */ x) => (
    x !== undefined && range.xaxis === "timestamp" ? Math.floor(x * 1e6) : x);
  const query = { ...range, start: place(range.start), end: place(range.end), rank };
  /** @type {Map<string, Cut>} */
  const found = new Map();
  const batches = [];
  for (let i = 0; i < metrics.length; i += BATCH) batches.push(metrics.slice(i, i + BATCH));
  await Promise.all(batches.map(async (batch) => {
    const answer = await series(run, { ...query, metrics: batch }, signal);
    for (const [name, buckets] of Object.entries(answer)) found.set(name, read(buckets, range.xaxis));
  }));
  return found;
}
