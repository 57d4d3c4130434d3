/*
 * Cuts: the series that charts show, as many buckets of them as there are pixels.
 *
 * The server cuts along step, time, timestamp or another metric, into buckets of equal width, or
 * of equal ratio for a logarithmic axis.
 */

import { series, slices } from "./api.js";
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
 *
 * @typedef {object} Found
 * @property {Map<string, Map<string, Cut>>} cuts by the key of their source and by metric, without those that it does not have
 * @property {string} refused why some source has none, if that is so
 */

/** Part of a zoomed range that is asked for beyond each of its ends, so that lines leave the chart. */
const MARGIN = 0.1;

/** Metrics and sources in one request: their names must fit in a URL of a few thousand letters. */
const BATCH = { metrics: 24, sources: 60 };

/** Buckets in one request, about: some megabytes, which a server makes in a tenth of a second. */
const BUCKETS = 40_000;

/** Buckets of what is new in a run, at most: it has been as long as a look at it takes. */
const TAIL = 64;

/** @param {View} view */
export function metricOver({ xaxis }) {
  return xaxis.startsWith("metric:") ? xaxis.slice("metric:".length) : null;
}

/**
 * Ask for *metrics* of *sources* as *view* shows them, in *points* buckets.
 *
 * @param {Source[]} sources
 * @param {string[]} metrics
 * @param {number} points
 * @param {View} view
 * @param {AbortSignal} signal
 * @returns {Promise<Found>}
 */
export function askCuts(sources, metrics, points, { xaxis, log, range }, signal) {
  const margin = range ? (range[1] - range[0]) * MARGIN : 0;
  return askRange(sources.map((source) => [source, range && range[0] - margin]), metrics, {
    xaxis, log: log.includes("x"),
    points: range ? Math.ceil(points * (1 + 2 * MARGIN)) : points,
    ...(range && { end: range[1] + margin }),
  }, signal);
}

/**
 * Ask for what *metrics* of *sources* have, of each from some x on.
 *
 * @param {[Source, number][]} sources
 * @param {string[]} metrics
 * @param {View} view
 * @param {AbortSignal} signal
 * @returns {Promise<Found>}
 */
export function askTails(sources, metrics, { xaxis }, signal) {
  return askRange(sources, metrics, { xaxis, points: TAIL }, signal);
}

/**
 * Ask for *metrics* of *sources* as the server cuts them; the wall clock in seconds.
 *
 * @param {[Source, number | null][]} sources
 * @param {string[]} metrics
 * @param {{ xaxis: string, log?: boolean, points: number, end?: number }} range
 * @param {AbortSignal} signal
 * @returns {Promise<Found>}
 */
async function askRange(sources, metrics, range, signal) {
  // The server counts the wall clock in microseconds, a chart in seconds.
  const place = (/** @type {number} */ x) => (range.xaxis === "timestamp" ? Math.floor(x * 1e6) : x);
  const query = { ...range, end: range.end && place(range.end) };
  /** @type {Found} */
  const found = { cuts: new Map(sources.map(([{ key }]) => [key, new Map()])), refused: "" };
  const asked = [];
  for (const batch of slices(metrics, BATCH.metrics)) {
    const room = Math.ceil(BUCKETS / batch.length / range.points);
    for (const some of slices(sources, Math.min(room, BATCH.sources))) asked.push({ batch, some });
  }
  await Promise.all(asked.map(async ({ batch, some }) => {
    const answers = await series(some.map(([{ run, rank }, start]) => (
      [run, rank ?? null, start === null ? null : place(start)])), { ...query, metrics: batch }, signal);
    answers.forEach((answer, i) => {
      if (typeof answer === "string") found.refused = answer;
      else for (const [name, buckets] of Object.entries(answer ?? {})) found.cuts.get(some[i][0].key)?.set(name, read(buckets, range.xaxis));
    });
  }));
  return found;
}
