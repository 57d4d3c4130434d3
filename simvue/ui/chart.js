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
    this.y = null;
    this.unit = 1;
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
        y: this.y === "log"
          ? { distr: 3, range: (u, min, max) => (min === null ? [1, 10] : uPlot.rangeLog(min, max, 10, true)) }
          : { distr: 1, range: (u, min, max) => pad(min, max) },
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
          values: (u, values, index, space, step) => {
            const whole = values.map((value) => value && value * this.unit);
            return this.y === "log" ? powers(whole) : ticks(whole, step * this.unit);
          },
        },
      ],
      // Points stay between pixels: rounded to them, a gentle slope becomes a staircase.
      pxAlign: 0,
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
    this.unit = unit(drawn);
    if (this.y !== y) this.rescale(y);
    // A logarithm has no place for zero and below.
    const least = y === "log" ? Number.MIN_VALUE : -Infinity;
    const fit = (column) => column.map((value) => (
      value === null || value < least ? null : value / this.unit));
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
    this.plot.setAttribute("aria-label", `${this.metric}: ${summary(drawn)}`);
    this.read();
  }

  /** A scale's kind is fixed when uPlot is made, so a change of it makes uPlot anew. */
  rescale(y) {
    this.y = y;
    this.plotter.destroy();
    this.plotter = new uPlot(this.options(), [[], [], [], []], this.plot);
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

/** A range of y with some air around the line; a constant stands in the middle of its chart. */
function pad(min, max) {
  if (min === null || max === null) return [0, 1];
  if (min === max) return [min - (Math.abs(min) * 0.1 || 1), max + (Math.abs(max) * 0.1 || 1)];
  const air = (max - min) * 0.06;
  // What is never negative has no axis that says it might be.
  return [min >= 0 && min < air ? 0 : min - air, max + air];
}

/**
 * The power of ten that values are divided by before they are drawn: uPlot finds no ticks
 * beyond 17 digits, and particle densities of 1e20 or masses of 1e-27 are everyday numbers.
 */
function unit({ least, most }) {
  const size = Math.max(Math.abs(least), Math.abs(most));
  const usual = !Number.isFinite(size) || size === 0 || (size >= 1e-6 && size < 1e12);
  // Below 1e-307 a power of ten is not a normal number any more.
  return usual ? 1 : 10 ** Math.max(-307, Math.floor(Math.log10(size)));
}

/** What a chart shows, in words for those who cannot see it. */
function summary(drawn) {
  if (drawn.rows === 0) return "no rows here";
  const rows = many(drawn.rows, "row");
  if (drawn.least > drawn.most) return `${rows}, none finite`;
  return `${rows}, last ${number(drawn.last)}, least ${number(drawn.least)}, greatest ${number(drawn.most)}`;
}

function dot(colour) {
  const made = element("div", { class: "dot" });
  made.style.background = colour;
  return made;
}
