/*
 * Chart: one metric, drawn; every pixel of it.
 *
 * A line through the last value of each bucket, over a band from the least to the greatest,
 * so that a spike of one row in a million is still seen.  Buckets with rows that are NaN or
 * infinite leave a red tick on the x axis.  Drag to zoom, double click to reset; with the
 * keyboard: arrows move the cursor, + and - zoom, 0 or Escape resets.
 */

import uPlot from "./vendor/uplot/uPlot.esm.js";
import { element, write } from "./elements.js";
import { calendar, elapsedTicks, integer, many, number, powers, ticks, wallTicks } from "./format.js";

/** Ten hues that keep apart from each other on light and on dark ground. */
const HUES = ["#4c78dd", "#e07b39", "#2a9d78", "#d1507a", "#8b6cd9", "#b58f22", "#2596b5",
  "#c9564b", "#6c9a3b", "#a4639f"];

/** The one colour of a run, the same wherever it is shown. */
export function hue(run) {
  let sum = 0;
  for (const letter of run) sum = (sum * 31 + letter.codePointAt(0)) % 65_521;
  return HUES[sum % HUES.length];
}

/** Pixels from one label of an axis to the next, at least. */
const LABEL_GAP = { x: 76, y: 34 };

/** Pixels to which a chart's width is rounded up; wider than two y axes ever differ. */
const POINTS_STEP = 32;

/** Read a colour of the style sheet as it is now, so that a chart follows light and dark. */
function ink(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

export class Chart {
  /** Draw *metric* in *colour*; *zoom(from, to)* is asked for a range of x, *reset()* for all of it. */
  constructor(metric, colour, { zoom, reset, expand }) {
    this.metric = metric;
    this.colour = colour;
    this.zoom = zoom;
    this.reset = reset;
    this.xaxis = "step";
    this.range = null;
    this.drawn = null;

    this.odd = element("span", { class: "odd", hidden: true });
    this.readout = element("output", { class: "readout" });
    this.plot = element("div", {
      class: "plot", tabindex: 0, role: "img", "aria-label": `${metric}: loading`,
      onkeydown: (event) => this.press(event),
    });
    const wide = element("button", {
      class: "plain", type: "button", title: "Widen or narrow this chart",
      "aria-label": `Widen or narrow the chart of ${metric}`, onclick: expand,
    }, "⤢");
    const [prefix, name] = split(metric);
    this.element = element("article", { class: "card chart", "aria-label": metric },
      element("header", {},
        element("h3", { title: metric }, element("small", {}, prefix), name),
        this.odd, this.readout, wide),
      this.plot);

    this.plotter = new uPlot(this.options(), [[], [], [], []], this.plot);
    this.size = new ResizeObserver(() => this.fit());
    this.size.observe(this.plot);
  }

  /**
   * How many pixels wide the plotting area is, rounded up: as many buckets are worth asking
   * for.  Rounded, so that charts of one grid share a request though their labels differ.
   */
  get points() {
    return Math.max(1, Math.ceil(this.plotter.over.clientWidth / POINTS_STEP)) * POINTS_STEP;
  }

  options() {
    const font = "11px system-ui, sans-serif";
    const axis = { stroke: () => ink("--muted"), font, grid: { stroke: () => ink("--grid"), width: 1 } };
    const edge = { stroke: `${this.colour}66`, width: 1, points: { show: false } };
    const label = { step: ticks, time: elapsedTicks, timestamp: wallTicks };
    return {
      width: 480,
      height: 220,
      legend: { show: false },
      padding: [10, 30, 0, 0],
      scales: {
        x: { time: false, range: (u, min, max) => this.range ?? spread(min, max) },
        y: { distr: 1 },
      },
      axes: [
        {
          ...axis, space: LABEL_GAP.x, gap: 6,
          // The wall clock takes a second line, for the date.
          size: () => (this.xaxis === "timestamp" ? 38 : 24),
          ticks: { show: false },
          values: (u, values, index, space, step) => label[this.xaxis](values, step),
        },
        {
          ...axis, space: LABEL_GAP.y, gap: 6,
          ticks: { show: false },
          // As wide as the longest label, and never so narrow that charts of a grid disagree.
          size: (u, values) => Math.max(52, 14 + 6.6 * Math.max(0, ...(values ?? []).map((v) => v.length))),
          values: (u, values, index, space, step) => (
            u.scales.y.distr === 3 ? powers(values) : ticks(values, step)),
        },
      ],
      series: [
        {},
        { ...edge, label: "max" },
        { ...edge, label: "min" },
        { label: this.metric, stroke: this.colour, width: 1.5, points: { size: 5, fill: this.colour } },
      ],
      bands: [{ series: [1, 2], fill: `${this.colour}38` }],
      cursor: {
        y: false,
        drag: { x: true, y: false, setScale: false, dist: 4 },
        sync: { key: "run" },
        points: { size: 8, show: (u, i) => i === 3 && dot(this.colour) },
        bind: { dblclick: () => () => this.reset() },
      },
      hooks: {
        setCursor: [() => this.read()],
        setSelect: [(u) => this.selected(u)],
        drawAxes: [(u) => this.mark(u)],
      },
    };
  }

  /** Show *drawn* (series.js) on *xaxis*; *range* is [from, to] of a zoom, or null; y may be "log". */
  show(drawn, { xaxis, range, y }) {
    this.drawn = drawn;
    this.xaxis = xaxis;
    this.range = range;
    this.plot.classList.toggle("log", y === "log");
    const u = this.plotter;
    if ((u.scales.y.distr === 3) !== (y === "log")) this.rescale(y);
    // A logarithm has no place for zero and below.
    const fit = y === "log" ? (column) => column.map((v) => (v > 0 ? v : null)) : (column) => column;
    const bare = drawn.line.map(() => null);
    this.plotter.setData([
      drawn.x,
      drawn.banded ? fit(drawn.high) : bare,
      drawn.banded ? fit(drawn.low) : bare,
      fit(drawn.line),
    ]);
    this.odd.hidden = drawn.nonfinite === 0;
    write(this.odd, `${integer(drawn.nonfinite)} NaN or ±∞`);
    this.odd.title = "Rows whose value is not a finite number; red ticks show where they lie.";
    this.plot.setAttribute("aria-label", drawn.rows === 0
      ? `${this.metric}: no rows here`
      : `${this.metric}: ${many(drawn.rows, "row")}, last ${number(drawn.last)}, `
        + `least ${number(drawn.least)}, greatest ${number(drawn.most)}`);
    this.read();
  }

  /** A scale's kind is fixed when uPlot is made, so a change of it makes uPlot anew. */
  rescale(y) {
    this.plotter.destroy();
    const options = this.options();
    if (y === "log") options.scales.y = { distr: 3 };
    this.plotter = new uPlot(options, [[], [], [], []], this.plot);
    this.fit();
  }

  fit() {
    const { clientWidth: width, clientHeight: height } = this.plot;
    if (width && height && (width !== this.plotter.width || height !== this.plotter.height)) {
      this.plotter.setSize({ width, height });
    }
  }

  /** Say the value under the cursor, or else the last one. */
  read() {
    const { drawn } = this;
    if (!drawn || drawn.rows === 0) {
      write(this.readout, drawn ? "no rows" : "");
      return;
    }
    const i = this.plotter.cursor.idx;
    if (i === null || i === undefined || i >= drawn.x.length) {
      write(this.readout, number(drawn.last));
      return;
    }
    const low = drawn.low[i];
    const high = drawn.high[i];
    const value = drawn.line[i] === null ? "not finite" : number(drawn.line[i]);
    // What matters least stands last, where a narrow chart cuts it off.
    const band = low !== high ? `  [${number(low)} … ${number(high)}]` : "";
    write(this.readout, `${value}  at ${this.place(drawn.x[i])}${band}`);
  }

  place(x) {
    if (this.xaxis === "timestamp") return calendar(x * 1000);
    return this.xaxis === "time" ? `${number(x)} s` : `step ${integer(x)}`;
  }

  selected(u) {
    if (u.select.width < 4) return;
    const from = u.posToVal(u.select.left, "x");
    const to = u.posToVal(u.select.left + u.select.width, "x");
    u.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
    this.zoom(from, to);
  }

  /** Draw a tick on the x axis at each bucket with rows that are not finite. */
  mark(u) {
    if (!this.drawn?.odd.length) return;
    const { ctx, bbox } = u;
    const size = devicePixelRatio;
    ctx.save();
    ctx.fillStyle = ink("--bad");
    for (const x of this.drawn.odd) {
      const left = u.valToPos(x, "x", true);
      if (left >= bbox.left && left <= bbox.left + bbox.width) {
        ctx.fillRect(left - size, bbox.top + bbox.height - 7 * size, 2 * size, 7 * size);
      }
    }
    ctx.restore();
  }

  press(event) {
    const u = this.plotter;
    const { min, max } = u.scales.x;
    const moves = { ArrowLeft: -1, ArrowRight: 1 };
    if (event.ctrlKey || event.metaKey || event.altKey || !this.drawn?.x.length) return;
    if (event.key in moves) {
      const { x } = this.drawn;
      const i = Math.min(Math.max((u.cursor.idx ?? x.length) + moves[event.key], 0), x.length - 1);
      u.setCursor({ left: u.valToPos(x[i], "x"), top: 0 });
    } else if (event.key === "+" || event.key === "-") {
      const middle = u.cursor.idx === null || u.cursor.idx === undefined
        ? (min + max) / 2 : this.drawn.x[u.cursor.idx];
      const half = (max - min) * (event.key === "+" ? 0.25 : 1);
      this.zoom(middle - half, middle + half);
    } else if (event.key === "0" || event.key === "Escape") {
      this.reset();
    } else {
      return;
    }
    event.preventDefault();
  }

  /** Draw again in the colours that hold now. */
  restyle() {
    this.plotter.redraw(false, true);
  }

  close() {
    this.size.disconnect();
    this.plotter.destroy();
    this.element.remove();
  }
}

/** Part a metric's name at its last slash, so that the part that tells metrics apart stands out. */
function split(metric) {
  const at = metric.lastIndexOf("/") + 1;
  return [metric.slice(0, at), metric.slice(at)];
}

/** A range that is not empty: a single row stands in the middle of its chart. */
function spread(min, max) {
  if (min === null || max === null) return [0, 1];
  if (min !== max) return [min, max];
  const half = Math.max(1, Math.abs(min) * 1e-3) / 2;
  return [min - half, max + half];
}

function dot(colour) {
  const made = element("div", { class: "dot" });
  made.style.background = colour;
  return made;
}
