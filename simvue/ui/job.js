/*
 * Job: all ranks of an MPI job at a glance: a heat map of one metric over ranks and time, the
 * band over ranks, and which rank is slow or odd.
 *
 * The ranks share one run, or each has a run of its own in the same launch (docs/mpi.md).  The
 * server tells of all of them in one answer, cut along the wall clock at the same edges, so that
 * a column is one stretch of time.
 *
 * The query: `metric`, `log` (y), `from` and `to` of a zoom, `full` for the band alone.
 */

import { PAGE_MAX, ask, listRuns } from "./api.js";
import { Chart } from "./chart.js";
import { hue } from "./colour.js";
import { leaves } from "./columns.js";
import { element, fill, keep, write } from "./elements.js";
import { calendar, many, number } from "./format.js";
import { Hover } from "./hover.js";
import { onKey } from "./keys.js";
import { listen } from "./live.js";
import { decode } from "./msgpack.js";
import { Poll } from "./poll.js";
import { ODD, held, oddness, overRanks, slowest } from "./ranks.js";
import { runAddress } from "./router.js";
import { groupOf } from "./run.js";
import { offer } from "./saving.js";
import { ink, themes } from "./theme.js";

/**
 * @typedef {import("./api.js").Run} Run
 *
 * @typedef {object} Rank
 * @property {number} rank
 * @property {string} run
 * @property {number | undefined} within the rank, of a run that several share
 * @property {string} href
 * @property {Float64Array} row a value for each column; NaN of nothing
 * @property {Set<number>} nan the columns in which it is no gap but what was logged
 * @property {number} rate steps a second, from the first row to the last; NaN of fewer than two
 */

/** Stretches of time: columns of the map, as many as the server cuts. */
const COLUMNS = 400;

/** Milliseconds between looks: a job of many ranks is asked for as a whole. */
const REFRESH = 5_000;

/** Pixels of a rank's row: as many as fit, but no fewer than can be hit. */
const ROW = { min: 3, max: 22 };
const HEIGHT = 420;

/** Which way in the map an arrow key leads: ranks, columns. */
const WAYS = new Map([["ArrowUp", [-1, 0]], ["ArrowDown", [1, 0]], ["ArrowLeft", [0, -1]], ["ArrowRight", [0, 1]]]);

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
    /** @type {string[]} */
    this.names = [];
    this.query = new URLSearchParams();
    /** What of the query the server is asked for. */
    this.asked = "";
    /** The metric that is shown. */
    this.metric = "";
    /** @type {Rank[]} */
    this.ranks = [];
    /** @type {[number, number]} */
    this.span = [0, 1];
    /** @type {[number, number]} the place of the rank and the column that are pointed at */
    this.at = [0, 0];
    /** @type {Map<string, number>} the rank of each run, where each rank has one of its own */
    this.known = new Map();
    this.hover = new Hover();

    this.choice = element("select", { id: "metric", onchange: () => page.go({ metric: this.choice.value }) });
    this.log = element("input", { type: "checkbox", onchange: () => this.turnLog() });
    this.whole = element("button", { type: "button", hidden: true, onclick: () => this.zoom(null, null) }, "Whole range");
    this.total = element("p", { class: "total", role: "status" });
    this.found = element("div", { class: "found", "aria-live": "polite" });
    this.canvas = element("canvas", {
      role: "img", "aria-label": "Ranks over time", tabIndex: 0,
      onmousemove: (/** @type {MouseEvent} */ event) => this.point(...this.place(event)),
      onmouseleave: () => this.leave(),
      onclick: (/** @type {MouseEvent} */ event) => {
        this.point(...this.place(event));
        this.visit();
      },
      onkeydown: (/** @type {KeyboardEvent} */ event) => this.press(event),
    });
    this.readout = element("output");
    this.low = element("span");
    this.high = element("span");
    this.card = element("article", { class: "card chart", "aria-label": "Over all ranks" });
    fill(page.target,
      element("div", { class: "tools" }, element("label", {}, "Metric ", this.choice),
        element("label", {}, this.log, " log"), this.whole, this.total),
      this.found,
      element("section", { class: "card heat", "aria-label": "Heat map" },
        element("div", { class: "scale" }, this.low, element("i"), this.high),
        this.canvas, this.readout),
      element("h2", {}, "Mean over all ranks, between the least and the greatest"),
      this.card);
    /** @type {Chart | null} */
    this.chart = null;
    const { scope } = page;
    scope.ending(() => this.chart?.close());
    scope.listen(themes, "change", () => this.draw());
    scope.listen(this.hover, "move", () => this.chart?.read());
    onKey(scope, "y", "Turn values logarithmic, or back", () => this.turnLog());
    onKey(scope, "Escape", "Let go of the place that is pinned, or leave the full screen", () => this.escape());
    /** @type {Poll | null} */
    this.poll = null;
    this.ears = scope.inner();
  }

  /** @param {URLSearchParams} query */
  follow(query) {
    this.query = query;
    this.log.checked = this.view.log !== "";
    this.whole.hidden = this.view.range === null;
    this.card.classList.toggle("full", query.has("full"));
    const asked = JSON.stringify(["metric", "from", "to"].map((name) => query.get(name)));
    if (asked !== this.asked) this.poll?.now();
    else this.draw();
    this.asked = asked;
  }

  /** @param {import("./run.js").Known} known */
  learn({ run, names }) {
    const first = this.names.length === 0 && names.length > 0;
    this.run = run;
    this.names = names;
    keep(this.choice, names, (name) => name, (name) => element("option", { value: name }, name));
    if (first) this.poll?.now();
    this.poll ??= this.page.scope.own(new Poll((signal) => this.refresh(signal), {
      pause: () => REFRESH, heard: this.page.heard, interest: { topics: ["rows"], runs: [this.id] },
    }));
  }

  /** @returns {import("./chart.js").View} */
  get view() {
    const [from, to] = ["from", "to"].map((name) => Number(this.query.get(name) ?? NaN));
    return {
      xaxis: "timestamp", smooth: 0, range: from < to ? [from, to] : null,
      log: (this.query.get("log") ?? "").includes("y") ? "y" : "",
    };
  }

  /** @param {AbortSignal} signal */
  async refresh(signal) {
    const wanted = this.query.get("metric") ?? "";
    const metric = this.names.includes(wanted) ? wanted : this.names[0];
    if (!metric || !this.run) return;
    const [start, end] = this.view.range ?? [];
    const group = this.run.ranks.length > 1 ? null : groupOf(this.run);
    const whose = group === null ? { runs: [this.id] } : { filters: [`metadata.simvue.launch.group == ${group}`] };
    const answer = await ask("/metrics/ranks", { query: { metric, start, end, ...whose }, signal });
    const table = decode(await answer.arrayBuffer());
    /** @type {string[]} */
    const runs = table.ranks.map((/** @type {{ run: string }} */ one) => one.run);
    if (whose.filters && runs.some((run) => !this.known.has(run))) await this.meet(whose.filters, runs, signal);
    this.metric = metric;
    this.ranks = table.ranks.map((/** @type {any} */ one) => {
      const nan = new Set(one.nan);
      return {
        run: one.run, rank: this.known.get(one.run) ?? one.rank, within: one.rank ?? undefined,
        href: runAddress(one.run, group === null ? { rank: String(one.rank) } : {}),
        nan, row: held(new Float64Array(one.values.slice().buffer), nan),
        rate: one.seconds > 0 ? one.steps / one.seconds : NaN,
      };
    }).sort((/** @type {Rank} */ a, /** @type {Rank} */ b) => a.rank - b.rank);
    this.span = [table.start ?? 0, table.end ?? 1];
    this.choice.value = metric;
    write(this.total, `${many(this.ranks.length, "rank")}${this.ranks.length === PAGE_MAX ? ", the first ones" : ""}, ${group === null ? "in one run" : "a run each"}`);
    this.judge();
    this.draw();
  }

  /**
   * Learn which rank each of *runs* is, and hear of them from now on.
   *
   * @param {string[]} filters that they meet
   * @param {string[]} runs
   * @param {AbortSignal} signal
   */
  async meet(filters, runs, signal) {
    const { data } = await listRuns({ filters, count: PAGE_MAX, metrics: false, system: false }, signal);
    for (const { id, metadata } of data) {
      this.known.set(id, Number(new Map(leaves(metadata)).get("simvue.launch.rank")));
    }
    this.ears.close();
    this.ears = this.page.scope.inner();
    this.ears.own(listen({ topics: ["rows"], runs }, () => this.poll?.news()));
  }

  /** Name the rank that is slow and those that are odd. */
  judge() {
    const { metric } = this;
    const rates = this.ranks.map(({ rate }) => rate);
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

  get rows() {
    return this.ranks.map(({ row }) => row);
  }

  draw() {
    const { rows, canvas } = this;
    if (rows.length === 0) return;
    const scaled = this.view.log ? Math.log : Number;
    const height = Math.max(ROW.min, Math.min(ROW.max, Math.floor(HEIGHT / rows.length)));
    canvas.width = COLUMNS;
    canvas.height = rows.length;
    canvas.style.height = `${height * rows.length}px`;
    const ctx = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    let [least, most] = [Infinity, -Infinity];
    for (const row of rows) {
      for (const value of row) {
        if (!Number.isFinite(scaled(value))) continue;
        if (value < least) least = value;
        if (value > most) most = value;
      }
    }
    const [low, high] = [least, most].map(scaled);
    // Those of the scale in run.css.
    const colours = [ink("--sunk"), ink("--hue-0"), ink("--hue-4")].map(parts);
    // As in charts.
    const bad = parts(ink("--bad"));
    const image = ctx.createImageData(COLUMNS, rows.length);
    rows.forEach((row, y) => row.forEach((value, x) => {
      if (Number.isNaN(value) && !this.ranks[y].nan.has(x)) return;
      // On a logarithmic scale what is not positive is as pale as the least.
      const share = high > low ? Math.max(0, (scaled(value) - low) / (high - low)) || 0 : 0.5;
      image.data.set([...(Number.isFinite(value) ? between(colours, share) : bad), 255], 4 * (y * COLUMNS + x));
    }));
    ctx.putImageData(image, 0, 0);
    write(this.low, Number.isFinite(least) ? number(least) : "");
    write(this.high, Number.isFinite(most) ? number(most) : "");
    canvas.setAttribute("aria-label", `${this.metric} of ${many(rows.length, "rank")} over time, from ${number(least)} to ${number(most)}`);
    if (this.readout.textContent) this.point(...this.at);
    this.band();
  }

  /** Draw the least, the mean and the greatest over all ranks. */
  band() {
    const { metric, view, card } = this;
    const [start, end] = this.span;
    const { low, mean, high } = overRanks(this.rows, COLUMNS);
    const x = Float64Array.from(mean, (_, i) => start + (i + 0.5) * (end - start) / COLUMNS);
    const seen = mean.filter(Number.isFinite);
    if (this.chart?.metric !== metric) {
      this.chart?.close();
      this.chart = new Chart(card, metric, view, this.hover, {
        zoom: (from, to) => this.zoom(String(from), String(to)),
        reset: () => this.zoom(null, null),
        enlarge: () => this.enlarge(!this.query.has("full")),
        offer: (chart, at) => offer(chart, at, { sources: this.sources, heard: this.page.heard }),
      });
    }
    this.chart.show([{
      key: this.id, name: metric, colour: () => hue(this.id), dash: [],
      trace: {
        x, line: mean, low, high, banded: true, odd: [], nonfinite: 0, left: 0,
        rows: seen.length, last: seen[seen.length - 1] ?? NaN,
        least: Math.min(...low.filter(Number.isFinite)), most: Math.max(...high.filter(Number.isFinite)),
      },
    }], view);
  }

  /** The ranks as what a file is made of. */
  get sources() {
    return this.ranks.map(({ run, rank, within }) => ({
      key: `${run} ${rank}`, run, rank: within, name: `rank ${rank}`, colour: () => hue(run), dash: [],
    }));
  }

  /**
   * @param {string | null} from
   * @param {string | null} to
   */
  zoom(from, to) {
    this.page.go({ from, to });
  }

  /** @param {boolean} full */
  enlarge(full) {
    this.page.go({ full: full ? this.metric : null });
  }

  escape() {
    if (this.hover.x !== null) this.hover.free();
    else if (this.query.has("full")) this.enlarge(false);
  }

  turnLog() {
    this.page.go({ log: this.view.log ? null : "y" });
  }

  // ---- What is pointed at -------------------------------------------------------------------

  /**
   * The place of a rank and the column that the mouse is at.
   *
   * @param {MouseEvent} event
   * @returns {[number, number]}
   */
  place(event) {
    const box = this.canvas.getBoundingClientRect();
    return [
      Math.floor((event.clientY - box.top) / box.height * this.ranks.length),
      Math.floor((event.clientX - box.left) / box.width * COLUMNS),
    ];
  }

  /**
   * Say what *rank* has in *column*, both as near as there are any.
   *
   * @param {number} rank a place in the map
   * @param {number} column
   */
  point(rank, column) {
    this.at = [
      Math.max(0, Math.min(this.ranks.length - 1, rank)), Math.max(0, Math.min(COLUMNS - 1, column)),
    ];
    const found = this.ranks[this.at[0]];
    if (!found) return;
    const [start, end] = this.span;
    const value = found.row[this.at[1]];
    const when = start + (this.at[1] + 0.5) * (end - start) / COLUMNS;
    write(this.readout, `rank ${found.rank}: ${Number.isNaN(value) && !found.nan.has(this.at[1]) ? "nothing" : number(value)} at ${calendar(when * 1000)}`);
    this.hover.move(this, when, null);
  }

  leave() {
    write(this.readout, "");
    this.hover.leave();
  }

  /** Go to the rank that is pointed at. */
  visit() {
    const rank = this.ranks[this.at[0]];
    if (rank) this.page.visit(rank.href);
  }

  /** @param {KeyboardEvent} event */
  press(event) {
    const way = WAYS.get(event.key);
    if (way) this.point(this.at[0] + way[0], this.at[1] + way[1]);
    else if (event.key === "Enter") this.visit();
    else return;
    event.preventDefault();
  }
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
