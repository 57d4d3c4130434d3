/*
 * Job: all ranks of an MPI job at a glance: a heat map of one metric over ranks and time, the
 * band over ranks, and which rank is slow or odd.
 *
 * The ranks share one run, or each has a run of its own in the same launch (docs/mpi.md).  All
 * are cut along the wall clock at the same edges, so that a column is one stretch of time.
 */

import { ask, json, listRuns, metricNames } from "./api.js";
import { Chart } from "./chart.js";
import { hue } from "./colour.js";
import { leaves } from "./columns.js";
import { askRange } from "./cuts.js";
import { element, fill, keep, write } from "./elements.js";
import { calendar, many, number } from "./format.js";
import { Hover } from "./hover.js";
import { Poll } from "./poll.js";
import { ODD, oddness, overRanks, slowest } from "./ranks.js";
import { runAddress } from "./router.js";
import { groupOf } from "./run.js";
import { ink, themes } from "./theme.js";

/**
 * @typedef {import("./api.js").Run} Run
 * @typedef {import("./cuts.js").Source} Source
 * @typedef {{ rank: number, run: string, href: string, source: Source }} Rank
 */

/** Stretches of time: columns of the map. */
const COLUMNS = 400;

/** Ranks that are looked at: each costs two small questions. */
const RANKS_MAX = 1_024;

/** Milliseconds between looks: a job of many ranks is asked for as a whole. */
const REFRESH = 5_000;

/** Pixels of a rank's row: as many as fit, but no fewer than can be hit. */
const ROW = { min: 3, max: 22 };
const HEIGHT = 420;

/**
 * @param {import("./app.js").Page} page
 * @param {string} id
 * @returns {import("./run.js").Part}
 */
export function open(page, id) {
  return new Job(page, id);
}

class Job {
  /**
   * @param {import("./app.js").Page} page
   * @param {string} id
   */
  constructor(page, id) {
    this.id = id;
    this.page = page;
    /** @type {Run | null} */
    this.run = null;
    /** @type {Rank[]} */
    this.ranks = [];
    /** @type {Float64Array[]} */
    this.rows = [];
    /** @type {[number, number]} */
    this.span = [0, 1];
    this.metric = "";
    /** @type {string[]} */
    this.names = [];

    this.choice = element("select", { id: "metric", onchange: () => page.go({ metric: this.choice.value }) });
    this.total = element("p", { class: "total", role: "status" });
    this.found = element("div", { class: "found", "aria-live": "polite" });
    this.canvas = element("canvas", {
      role: "img", "aria-label": "Ranks over time",
      onmousemove: (/** @type {MouseEvent} */ event) => write(this.readout, this.tell(event)),
      onmouseleave: () => write(this.readout, ""),
      onclick: (/** @type {MouseEvent} */ event) => {
        const rank = this.ranks[this.place(event)[0]];
        if (rank) page.visit(rank.href);
      },
    });
    this.readout = element("output");
    this.low = element("span");
    this.high = element("span");
    this.bar = element("i");
    const card = element("article", { class: "card chart", "aria-label": "Over all ranks" });
    fill(page.target,
      element("div", { class: "tools" }, element("label", {}, "Metric ", this.choice), this.total),
      this.found,
      element("section", { class: "card heat", "aria-label": "Heat map" },
        element("div", { class: "scale" }, this.low, this.bar, this.high),
        this.canvas, this.readout),
      card);
    this.chart = page.scope.own(new Chart(card, "Over all ranks", { xaxis: "timestamp", log: "", smooth: 0, range: null }, new Hover(), {
      zoom: () => {}, reset: () => {}, enlarge: () => card.classList.toggle("full"), offer: () => {},
    }));
    page.scope.listen(themes, "change", () => this.draw());
    /** @type {Poll | null} */
    this.poll = null;
  }

  /** @param {URLSearchParams} query */
  follow(query) {
    const wanted = query.get("metric") ?? "";
    if (wanted === this.metric) return;
    this.metric = wanted;
    this.poll?.now();
  }

  /** @param {import("./run.js").Known} known */
  learn({ run }) {
    const first = this.run === null;
    this.run = run;
    if (!first) return;
    this.poll = this.page.scope.own(new Poll((signal) => this.refresh(run, signal), {
      pause: () => REFRESH, heard: this.page.heard, interest: { topics: ["rows"], runs: [this.id] },
    }));
  }

  /**
   * @param {Run} run
   * @param {AbortSignal} signal
   */
  async refresh(run, signal) {
    const ranks = run.ranks.length > 1 ? shared(run) : await grouped(run, signal);
    const runs = [...new Set(ranks.map((rank) => rank.run))];
    this.names = await metricNames(this.id, signal);
    const metric = this.names.includes(this.metric) ? this.metric : this.names[0];
    keep(this.choice, this.names, (name) => name, (name) => element("option", { value: name }, name));
    this.choice.value = metric ?? "";
    write(this.total, `${many(ranks.length, "rank")}${ranks.length === RANKS_MAX ? ", the first ones" : ""}, ${runs.length === 1 ? "in one run" : "a run each"}`);
    if (!metric) return;
    const extent = await json(await ask("/metrics/span", { query: { runs }, signal }));
    const [start, end] = [extent.min_timestamp, extent.max_timestamp];
    if (start === undefined) return;
    const rates = await Promise.all(ranks.map(({ source }) => rate(source, metric, signal)));
    const rows = await Promise.all(ranks.map(async ({ source }) => {
      const found = await askRange(source, [metric], { xaxis: "timestamp", points: COLUMNS, start, end }, signal);
      const row = new Float64Array(COLUMNS).fill(NaN);
      const cut = found.get(metric);
      cut?.last.forEach((value, i) => { row[column((cut.x_first[i] + cut.x_last[i]) / 2, start, end)] = value; });
      return held(row);
    }));
    this.ranks = ranks;
    this.rows = rows;
    this.span = [start, end];
    this.judge(metric, rates);
    this.draw();
    this.band(metric);
  }

  /**
   * Name the rank that is slow and those that are odd.
   *
   * @param {string} metric
   * @param {number[]} rates
   */
  judge(metric, rates) {
    const link = (/** @type {number} */ place) => element("a", { href: this.ranks[place].href }, `rank ${this.ranks[place].rank}`);
    const slow = slowest(rates);
    const scores = oddness(this.rows, COLUMNS);
    const odd = scores.map((score, place) => ({ score, place })).filter(({ score }) => score > ODD)
      .sort((a, b) => b.score - a.score);
    fill(this.found,
      element("p", { class: "slowest" }, element("strong", {}, "Slowest: "),
        ...(slow < 0 ? ["no rank lags behind the others."] : [link(slow), `, ${number(rates[slow])} steps a second.`])),
      element("p", { class: "oddest" }, element("strong", {}, "Odd: "),
        ...(odd.length === 0 ? [`no rank stands out in ${metric}.`] : [
          link(odd[0].place), `, ${number(Number(odd[0].score.toPrecision(2)))} deviations from the median of all ranks in ${metric}`,
          odd.length > 1 ? `; ${many(odd.length - 1, "other")} too.` : ".",
        ])));
  }

  draw() {
    const { rows, canvas } = this;
    if (rows.length === 0) return;
    const height = Math.max(ROW.min, Math.min(ROW.max, Math.floor(HEIGHT / rows.length)));
    canvas.width = COLUMNS;
    canvas.height = rows.length;
    canvas.style.height = `${height * rows.length}px`;
    const ctx = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    let [least, most] = [Infinity, -Infinity];
    for (const row of rows) {
      for (const value of row) {
        if (value < least) least = value;
        if (value > most) most = value;
      }
    }
    const colours = [ink("--sunk"), ink("--hue-0"), ink("--hue-4")].map(parts);
    const image = ctx.createImageData(COLUMNS, rows.length);
    rows.forEach((row, y) => row.forEach((value, x) => {
      if (!Number.isFinite(value)) return;
      const share = most > least ? (value - least) / (most - least) : 0.5;
      image.data.set([...between(colours, share), 255], 4 * (y * COLUMNS + x));
    }));
    ctx.putImageData(image, 0, 0);
    this.bar.style.background = "linear-gradient(to right, var(--sunk), var(--hue-0), var(--hue-4))";
    write(this.low, Number.isFinite(least) ? number(least) : "");
    write(this.high, Number.isFinite(most) ? number(most) : "");
    canvas.setAttribute("aria-label", `${this.choice.value} of ${many(rows.length, "rank")} over time, from ${number(least)} to ${number(most)}`);
  }

  /** @param {string} metric */
  band(metric) {
    const [start, end] = this.span;
    const { low, mean, high } = overRanks(this.rows, COLUMNS);
    const x = Float64Array.from(mean, (_, i) => start + (i + 0.5) * (end - start) / COLUMNS);
    const seen = mean.filter(Number.isFinite);
    this.chart.show([{
      key: this.id, name: metric, colour: () => hue(this.id), dash: [],
      trace: {
        x, line: mean, low, high, banded: true, odd: [], nonfinite: 0, left: 0,
        rows: seen.length, last: seen[seen.length - 1] ?? NaN,
        least: Math.min(...low.filter(Number.isFinite)), most: Math.max(...high.filter(Number.isFinite)),
      },
    }], this.chart.view);
  }

  /**
   * The place of a rank and the column that the mouse is at.
   *
   * @param {MouseEvent} event
   */
  place(event) {
    const box = this.canvas.getBoundingClientRect();
    return [
      Math.min(this.rows.length - 1, Math.floor((event.clientY - box.top) / box.height * this.rows.length)),
      Math.min(COLUMNS - 1, Math.floor((event.clientX - box.left) / box.width * COLUMNS)),
    ];
  }

  /** @param {MouseEvent} event */
  tell(event) {
    const [rank, at] = this.place(event);
    const value = this.rows[rank]?.[at];
    if (value === undefined) return "";
    const [start, end] = this.span;
    const when = calendar((start + (at + 0.5) * (end - start) / COLUMNS) * 1000);
    return `rank ${this.ranks[rank].rank}: ${Number.isNaN(value) ? "nothing" : number(value)} at ${when}`;
  }
}

/**
 * The ranks that share *run*.
 *
 * @param {Run} run
 * @returns {Rank[]}
 */
function shared(run) {
  return run.ranks.slice(0, RANKS_MAX).map((rank) => ({
    rank, run: run.id, href: runAddress(run.id, { rank: String(rank) }), source: source(run.id, rank, rank),
  }));
}

/**
 * The ranks that have runs of their own in the launch of *run*.
 *
 * @param {Run} run
 * @param {AbortSignal} signal
 * @returns {Promise<Rank[]>}
 */
async function grouped(run, signal) {
  const { data } = await listRuns({
    filters: [`metadata.simvue.launch.group == ${groupOf(run)}`], count: RANKS_MAX, metrics: false, system: false,
  }, signal);
  return data.map(({ id, metadata }) => {
    const rank = Number(new Map(leaves(metadata)).get("simvue.launch.rank"));
    return { rank, run: id, href: runAddress(id), source: source(id, rank) };
  }).sort((a, b) => a.rank - b.rank);
}

/**
 * @param {string} run
 * @param {number} rank
 * @param {number} [within] the rank, of a run that several share
 * @returns {Source}
 */
function source(run, rank, within) {
  return { key: `${run} ${rank}`, run, rank: within, name: `rank ${rank}`, colour: () => hue(run), dash: [] };
}

/**
 * Steps a second, from the first row to the last; NaN of fewer than two.
 *
 * @param {Source} from
 * @param {string} metric
 * @param {AbortSignal} signal
 */
async function rate(from, metric, signal) {
  const ends = await Promise.all(["step", "timestamp"].map(async (xaxis) => {
    const cut = (await askRange(from, [metric], { xaxis, points: 1 }, signal)).get(metric);
    return cut?.count.length ? cut.x_last[0] - cut.x_first[0] : NaN;
  }));
  return ends[1] > 0 ? ends[0] / ends[1] : NaN;
}

/**
 * @param {number} x
 * @param {number} start
 * @param {number} end
 */
function column(x, start, end) {
  return Math.min(COLUMNS - 1, Math.max(0, Math.floor((x - start) / (end - start || 1) * COLUMNS)));
}

/**
 * Fill what lies between two values with the earlier one: a rank that logs seldom has no gaps.
 *
 * @param {Float64Array} row
 */
function held(row) {
  const last = row.reduce((found, value, i) => (Number.isFinite(value) ? i : found), -1);
  for (let i = 1; i < last; i++) if (Number.isNaN(row[i])) row[i] = row[i - 1];
  return row;
}

/** @param {string} colour `#rrggbb` */
function parts(colour) {
  return [1, 3, 5].map((at) => Number.parseInt(colour.slice(at, at + 2), 16));
}

/**
 * @param {number[][]} colours
 * @param {number} share 0 to 1
 */
function between(colours, share) {
  const at = Math.min(colours.length - 2, Math.floor(share * (colours.length - 1)));
  const rest = share * (colours.length - 1) - at;
  return colours[at].map((part, i) => Math.round(part + (colours[at + 1][i] - part) * rest));
}
