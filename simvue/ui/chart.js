/*
 * Chart: one metric, drawn as one line or as many; its card, its scales, and what a hand does.
 *
 * A line through the last value of each bucket, over a band from the least to the greatest, so
 * that a spike of one row in a million is still seen.  Drag to zoom, double click to reset,
 * click to pin; with the keyboard: arrows move the cursor, + and - zoom, 0 or Escape resets.
 */

import uPlot from "./vendor/uplot/uPlot.min.js";
import { cutDot } from "./colour.js";
import { element, fill, write } from "./elements.js";
import { calendar, elapsedTicks, integer, many, number, powers, ticks, wallTicks } from "./format.js";
import { drawLines, ends, never, scaleTo, soon } from "./plot.js";
import { nearest } from "./series.js";
import { ink } from "./theme.js";

/**
 * @typedef {import("./plot.js").Line} Line
 * @typedef {import("./hover.js").Hover} Hover
 *
 * @typedef {object} View how charts are shown; the same for all of a view
 * @property {string} xaxis `step`, `time`, `timestamp`, or `metric:` and a name
 * @property {string} log the axes that are logarithmic: "", "x", "y", "xy"
 * @property {number} smooth 0 to 1
 * @property {[number, number] | null} range of a zoom
 *
 * @typedef {object} Acts what a chart asks its view for
 * @property {(from: number, to: number) => void} zoom
 * @property {() => void} reset
 * @property {(chart: Chart) => void} enlarge
 * @property {(chart: Chart, at: HTMLElement) => void} offer opens the menu of the chart
 */

/** Pixels from one label of an axis to the next, at least. */
const LABEL_GAP = { x: 76, y: 34 };

/** Pixels to which a chart's width is rounded up; wider than two y axes ever differ. */
const POINTS_STEP = 32;

/** Pixels beside the plotting area: the narrowest y axis, and room for the last label of x. */
const AXIS = 52;
const RIGHT = 30;
const BESIDE = AXIS + RIGHT;

/** Pixels that a hand moves between press and release of what is still a click. */
const STEADY = 4;

/** Lines in the list beside the cursor. */
const LISTED_MAX = 8;

export class Chart {
  /**
   * Draw *metric* into *card*, until `close()` leaves it empty.
   *
   * @param {HTMLElement} card
   * @param {string} metric
   * @param {View} view
   * @param {Hover} hover
   * @param {Acts} acts
   */
  constructor(card, metric, view, hover, acts) {
    this.card = card;
    this.metric = metric;
    this.hover = hover;
    this.acts = acts;
    this.view = view;
    /** @type {Line[]} */
    this.lines = [];
    this.known = false;
    this.unit = 1;
    this.pressed = 0;
    /** Pixels of the plot; nothing is drawn before they are known. */
    this.width = this.height = 0;
    /** The ends of both axes. */
    this.spans = { x: spread(null), y: spread(null) };
    /** @type {uPlot | null} made when there is something to draw: an empty one costs as much */
    this.plotter = null;
    this.draw = () => this.paint();

    this.odd = element("span", { class: "odd", hidden: true, title: "Rows whose value is not a finite number, marked red where they lie; and rows that have no place on this x axis." });
    this.readout = element("output", { class: "readout" });
    this.plot = element("div", {
      class: "plot", tabindex: 0, role: "img", "aria-label": `${metric}: loading`,
      onkeydown: (/** @type {KeyboardEvent} */ event) => this.press(event),
    });
    this.rule = element("i", { class: "rule", hidden: true });
    this.spot = element("i", { class: "spot", hidden: true });
    this.list = element("div", { class: "values", hidden: true });
    const [prefix, name] = split(metric);
    fill(card,
      element("header", {},
        element("h3", { title: metric, dir: "auto" }, element("small", {}, prefix), name),
        this.odd, this.readout,
        element("button", {
          class: "plain", type: "button", title: "Full screen", "aria-label": `Show ${metric} over the full screen`,
          onclick: () => acts.enlarge(this),
        }, "⤢"),
        element("button", {
          class: "plain", type: "button", title: "Save or share", "aria-label": `Save or share ${metric}`,
          onclick: (/** @type {MouseEvent} */ event) => acts.offer(this, /** @type {HTMLElement} */ (event.currentTarget)),
        }, "⋯")),
      this.plot);
    this.size = new ResizeObserver(([{ contentRect }]) => this.fit(contentRect));
    this.size.observe(this.plot);
  }

  /** Make the canvas and its scales; it is drawn at once. */
  open() {
    const u = new uPlot(this.options(), [this.spans.x, this.spans.y], this.plot);
    const { over } = u;
    over.append(this.rule, this.spot, this.list);
    over.addEventListener("mousedown", (event) => { this.pressed = event.clientX; });
    over.addEventListener("mousemove", (event) => this.point(event));
    over.addEventListener("mouseleave", () => this.hover.leave());
    over.addEventListener("click", (event) => {
      if (Math.abs(event.clientX - this.pressed) < STEADY) this.hover.pin();
    });
    return u;
  }

  close() {
    this.size.disconnect();
    never(this.draw);
    this.plotter?.destroy();
    this.card.replaceChildren();
  }

  /**
   * How many pixels wide the plotting area is, rounded up: as many buckets are worth asking
   * for.  Rounded, so that charts of one grid share a request though their labels differ.
   */
  get points() {
    return Math.max(1, Math.ceil((this.plot.clientWidth - BESIDE) / POINTS_STEP)) * POINTS_STEP;
  }

  /** @returns {uPlot.Options} */
  options() {
    const { log, xaxis } = this.view;
    const axis = {
      stroke: () => ink("--muted"), font: "11px system-ui, sans-serif",
      grid: { stroke: () => ink("--grid"), width: 1 }, ticks: { show: false }, gap: 6,
    };
    return {
      width: this.width,
      height: this.height,
      legend: { show: false },
      padding: [10, RIGHT, 0, 0],
      scales: {
        x: { time: false, distr: log.includes("x") ? 3 : 1, range: () => this.spans.x },
        y: { distr: log.includes("y") ? 3 : 1, range: () => this.spans.y },
      },
      axes: [
        {
          ...axis, space: LABEL_GAP.x,
          // The wall clock takes a second line, for the date.
          size: xaxis === "timestamp" ? 38 : 24,
          values: (_, values, _axis, _space, step) => {
            if (log.includes("x")) return powers(values);
            if (xaxis === "timestamp") return wallTicks(values, step);
            return xaxis === "time" ? elapsedTicks(values, step) : ticks(values, step);
          },
        },
        {
          ...axis, space: LABEL_GAP.y,
          // As wide as the longest label, and never so narrow that charts of a grid disagree.
          size: (_, values) => Math.max(AXIS, 14 + 6.6 * Math.max(0, ...(values ?? []).map((v) => v.length))),
          values: (_, values, _axis, _space, step) => {
            const whole = values.map((value) => value && value * this.unit);
            return log.includes("y") ? powers(whole) : ticks(whole, step * this.unit);
          },
        },
      ],
      pxAlign: 0,
      // Lines are drawn by plot.js: each has an x of its own.
      series: [{}, { paths: () => null, points: { show: false } }],
      cursor: {
        x: false, y: false, points: { show: false },
        drag: { x: true, y: false, setScale: false, dist: STEADY },
        bind: { dblclick: () => () => { this.acts.reset(); return null; } },
      },
      hooks: {
        setSelect: [(u) => this.selected(u)],
        draw: [(u) => {
          drawLines(u, this.lines, { unit: this.unit, smooth: this.view.smooth, set: this.hover.line });
          this.read();
        }],
      },
    };
  }

  // ---- What is drawn ------------------------------------------------------------------------

  /**
   * Show *lines* as *view* says; it is drawn in one of the next frames.
   *
   * @param {Line[]} lines
   * @param {View} view
   */
  show(lines, view) {
    const other = view.log !== this.view.log || view.xaxis !== this.view.xaxis;
    this.lines = lines;
    this.view = view;
    this.known = true;
    // A scale's kind is fixed when uPlot is made, so a change of it makes uPlot anew.
    if (other) {
      this.plotter?.destroy();
      this.plotter = null;
    }
    const nonfinite = lines.reduce((sum, { trace }) => sum + trace.nonfinite, 0);
    const left = lines.reduce((sum, { trace }) => sum + trace.left, 0);
    this.odd.hidden = nonfinite + left === 0;
    write(this.odd, [nonfinite && `${integer(nonfinite)} NaN or ±∞`, left && `${integer(left)} not on this axis`].filter(Boolean).join(" · "));
    soon(this.draw);
  }

  paint() {
    if (!this.known || !this.width || !this.height) return;
    const found = ends(this.lines, this.view.range, this.view.log);
    this.unit = unit(found.y);
    const y = found.y && /** @type {[number, number]} */ (found.y.map((value) => value / this.unit));
    this.spans = {
      x: this.view.log.includes("x") ? powersAround(found.x) : spread(found.x),
      y: this.view.log.includes("y") ? powersAround(y) : pad(y),
    };
    const u = this.plotter;
    // In a batch it draws now, within the time that a frame has for drawing, not behind it.
    if (u) u.batch(() => u.setData([this.spans.x, this.spans.y]));
    else this.plotter = this.open();
    this.plot.setAttribute("aria-label", `${this.metric}: ${this.summary()}`);
  }

  /** @param {{ width: number, height: number }} size */
  fit({ width, height }) {
    this.width = Math.floor(width);
    this.height = Math.floor(height);
    if (!this.plotter) soon(this.draw);
    else if (this.width && this.height) this.plotter.setSize({ width: this.width, height: this.height });
  }

  /** Draw again in the colours that hold now, or with another line set apart. */
  restyle() {
    soon(this.draw);
  }

  /** What the chart shows, in words for those who cannot see it. */
  summary() {
    const rows = this.lines.reduce((sum, { trace }) => sum + trace.rows, 0);
    if (rows === 0) return "no rows here";
    const least = Math.min(...this.lines.map(({ trace }) => trace.least));
    const most = Math.max(...this.lines.map(({ trace }) => trace.most));
    const said = this.lines.length > 1 ? `${many(this.lines.length, "run")}, ${many(rows, "row")}` : many(rows, "row");
    if (least > most) return `${said}, none finite`;
    const last = this.lines.length > 1 ? "" : `, last ${number(this.lines[0].trace.last)}`;
    return `${said}${last}, least ${number(least)}, greatest ${number(most)}`;
  }

  // ---- What is pointed at -------------------------------------------------------------------

  /** @param {MouseEvent} event */
  point(event) {
    const u = this.plotter;
    if (!u || this.hover.pinned) return;
    const box = u.over.getBoundingClientRect();
    const [left, top] = [event.clientX - box.left, event.clientY - box.top];
    const x = u.posToVal(left, "x");
    this.hover.move(this, x, this.nearestLine(x, top));
  }

  /**
   * The key of the line that passes *top* most closely at *x*; no line is set apart from itself.
   *
   * @param {number} x
   * @param {number} top
   */
  nearestLine(x, top) {
    const u = this.plotter;
    if (!u || this.lines.length < 2) return null;
    const y = scaleTo(u, "y", this.unit);
    const place = u.bbox.top + top * devicePixelRatio;
    let [best, least] = [/** @type {string | null} */ (null), Infinity];
    for (const { key, trace } of this.lines) {
      const at = nearest(trace, x);
      const away = at < 0 ? NaN : Math.abs(y(trace.line[at]) - place);
      if (away < least) [best, least] = [key, away];
    }
    return best;
  }

  /** Say the values at the place that is pointed at in any chart, or else the last one. */
  read() {
    const u = this.plotter;
    const { x, at, line: set } = this.hover;
    if (!u) return;
    this.rule.hidden = x === null;
    this.spot.hidden = true;
    this.list.hidden = true;
    const single = this.lines.length === 1 ? this.lines[0] : this.lines.find(({ key }) => key === set);
    if (x === null || !this.lines.some(({ trace }) => trace.x.length)) {
      const last = this.lines.length === 1 ? this.lines[0].trace : null;
      write(this.readout, this.lines.some(({ trace }) => trace.rows) ? (last ? number(last.last) : "") : "no rows");
      return;
    }
    const left = u.valToPos(x, "x");
    this.rule.style.transform = `translateX(${left}px)`;
    this.rule.classList.toggle("pinned", this.hover.pinned);
    if (single) {
      const i = nearest(single.trace, x);
      write(this.readout, this.say(single, i));
      if (i >= 0 && Number.isFinite(single.trace.line[i])) {
        this.spot.hidden = false;
        this.spot.style.background = single.colour();
        this.spot.style.transform = `translate(${u.valToPos(single.trace.x[i], "x")}px, ${u.valToPos(single.trace.line[i] / this.unit, "y")}px)`;
      }
    } else {
      write(this.readout, this.place(x));
    }
    if (at === this && this.lines.length > 1) this.tell(x, left);
  }

  /**
   * @param {Line} line
   * @param {number} i
   */
  say({ name, trace }, i) {
    if (i < 0) return "no rows";
    const value = Number.isNaN(trace.line[i]) ? "not finite" : number(trace.line[i]);
    // What matters least stands last, where a narrow chart cuts it off.
    const band = trace.low[i] < trace.high[i] ? `  [${number(trace.low[i])} … ${number(trace.high[i])}]` : "";
    return `${this.lines.length > 1 ? `${name}  ` : ""}${value}  at ${this.place(trace.x[i])}${band}`;
  }

  /**
   * List the lines at *x* beside the cursor, by value; the one that is set apart stands out.
   *
   * @param {number} x
   * @param {number} left
   */
  tell(x, left) {
    const found = this.lines
      .map((line) => ({ line, value: line.trace.line[nearest(line.trace, x)] ?? NaN }))
      .filter(({ value }) => !Number.isNaN(value))
      .sort((a, b) => b.value - a.value);
    const at = Math.max(0, found.findIndex(({ line }) => line.key === this.hover.line));
    const from = Math.max(0, Math.min(at - LISTED_MAX / 2, found.length - LISTED_MAX));
    fill(this.list, element("p", {}, this.place(x)),
      ...found.slice(from, from + LISTED_MAX).map(({ line, value }) => {
        const dot = element("span", { class: "dot" });
        dot.style.background = cutDot(line.colour(), line.dash);
        return element("p", { class: line.key === this.hover.line ? "set" : "" },
          dot, element("span", { dir: "auto" }, line.name), element("b", {}, number(value)));
      }),
      found.length > LISTED_MAX && element("p", {}, `and ${integer(found.length - LISTED_MAX)} more`));
    this.list.hidden = false;
    const width = this.plotter?.over.clientWidth ?? 0;
    this.list.style.transform = left > width / 2 ? `translateX(calc(${left - 12}px - 100%))` : `translateX(${left + 12}px)`;
  }

  /** @param {number} x */
  place(x) {
    const { xaxis } = this.view;
    if (xaxis === "timestamp") return calendar(x * 1000);
    if (xaxis === "time") return `${number(x)} s`;
    return xaxis === "step" ? `step ${integer(Math.round(x))}` : number(x);
  }

  /** @param {uPlot} u */
  selected(u) {
    if (u.select.width < STEADY) return;
    const from = u.posToVal(u.select.left, "x");
    const to = u.posToVal(u.select.left + u.select.width, "x");
    u.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
    this.acts.zoom(from, to);
  }

  /** @param {KeyboardEvent} event */
  press(event) {
    const trace = this.lines[0]?.trace;
    if (event.ctrlKey || event.metaKey || event.altKey || !trace?.x.length) return;
    const at = this.hover.x === null ? trace.x.length : nearest(trace, this.hover.x);
    const [min, max] = this.spans.x;
    if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
      const next = at + (event.key === "ArrowLeft" ? -1 : 1);
      this.hover.turn(this, trace.x[Math.min(Math.max(next, 0), trace.x.length - 1)], this.hover.line);
    } else if (event.key === "+" || event.key === "-") {
      const middle = this.hover.x ?? (min + max) / 2;
      const half = (max - min) * (event.key === "+" ? 0.25 : 1);
      this.acts.zoom(middle - half, middle + half);
    } else if (event.key === "0" || (event.key === "Escape" && this.hover.x === null)) {
      this.acts.reset();
    } else {
      return;
    }
    event.preventDefault();
  }
}

/**
 * Part a metric's name at its last slash, so that the part that tells metrics apart stands out.
 *
 * @param {string} metric
 */
function split(metric) {
  const at = metric.lastIndexOf("/") + 1;
  return [metric.slice(0, at), metric.slice(at)];
}

/**
 * A range that is not empty: a single row stands in the middle of its chart.
 *
 * @param {[number, number] | null} found
 * @returns {[number, number]}
 */
function spread(found) {
  if (found === null) return [0, 1];
  const [min, max] = found;
  if (min !== max) return [min, max];
  const half = Math.max(1, Math.abs(min) * 1e-3) / 2;
  return [min - half, max + half];
}

/**
 * A range of y with some air around the line; a constant stands in the middle of its chart.
 *
 * @param {[number, number] | null} found
 * @returns {[number, number]}
 */
function pad(found) {
  if (found === null) return [0, 1];
  const [min, max] = found;
  if (min === max) return [min - (Math.abs(min) * 0.1 || 1), max + (Math.abs(max) * 0.1 || 1)];
  const air = (max - min) * 0.06;
  // What is never negative has no axis that says it might be.
  return [min >= 0 && min < air ? 0 : min - air, max + air];
}

/**
 * A range for a logarithmic axis, which needs one that is positive and not empty.
 *
 * @param {[number, number] | null} found
 * @returns {[number, number]}
 */
function powersAround(found) {
  if (found === null || found[1] <= 0) return [1, 10];
  const [min, max] = [found[0] > 0 ? found[0] : found[1] / 1e6, found[1]];
  return max / min < 1.5 ? [min / 2, max * 2] : [min / 1.1, max * 1.1];
}

/**
 * The power of ten that values are divided by before they are drawn: uPlot finds no ticks
 * beyond 17 digits, and particle densities of 1e20 or masses of 1e-27 are everyday numbers.
 *
 * @param {[number, number] | null} found
 */
function unit(found) {
  const size = found ? Math.max(Math.abs(found[0]), Math.abs(found[1])) : 0;
  const usual = size === 0 || (size >= 1e-6 && size < 1e12);
  // Below 1e-307 a power of ten is not a normal number any more.
  return usual ? 1 : 10 ** Math.max(-307, Math.floor(Math.log10(size)));
}
