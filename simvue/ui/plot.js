/*
 * Plot: lines on a canvas whose scales and axes uPlot keeps.
 *
 * Each line has its own x, so lines of many runs need no common one: uPlot is given only the
 * ends of both axes, and what lies between them is drawn here.
 */

import { smoothed } from "./series.js";
import { ink } from "./theme.js";

/**
 * @typedef {import("./vendor/uplot/uPlot.min.js")} uPlot
 *
 * @typedef {object} Line one series of a chart
 * @property {string} key
 * @property {string} name
 * @property {() => string} colour as a canvas takes it
 * @property {number[]} dash
 * @property {import("./series.js").Trace} trace
 */

/** Points farther apart than this, in CSS pixels, each get a dot: few rows look like rows. */
const DOTS_GAP = 14;

/** What is left of a line that is not the one pointed at, and of a raw line behind a smooth one. */
const FAINT = 0.22;

/**
 * CSS pixels of a line: the one that stands out, one of few, one of more than FEW; these hide
 * less of each other when they are thin, and a line of one pixel costs a fifth of one of 1.5.
 */
const WIDTH = { set: 2.5, few: 1.5, many: 1 };
const FEW = 8;

/** How strongly a band is filled; where many lie over each other, less. */
const BAND = { one: 0.22, many: 0.1 };

/**
 * Return what maps a value to a pixel of the canvas, faster than asking uPlot for each.
 *
 * @param {uPlot} u
 * @param {"x" | "y"} axis
 * @param {number} unit that values are divided by
 * @returns {(value: number) => number} beyond the chart where a logarithm has no place
 */
export function scaleTo(u, axis, unit = 1) {
  const { min, max, distr } = u.scales[axis];
  const { left, top, width, height } = u.bbox;
  const put = /** @type {(value: number) => number} */ (
    distr === 3 ? (value) => Math.log10(value / unit) : (value) => value / unit);
  const low = distr === 3 ? Math.log10(min ?? 1) : min ?? 0;
  const high = distr === 3 ? Math.log10(max ?? 1) : max ?? 1;
  const [from, length] = axis === "x" ? [left, width] : [top + height, -height];
  // A canvas draws nothing of a path that holds an infinity.
  const [least, most] = [Math.min(from, from + length) - 1e4, Math.max(from, from + length) + 1e4];
  return (value) => {
    if (distr === 3 && value <= 0) return axis === "x" ? least : most;
    return Math.min(most, Math.max(least, from + (put(value) - low) / (high - low) * length));
  };
}

/**
 * Draw *lines*, the one with the key *set* apart from the others.
 *
 * @param {uPlot} u
 * @param {Line[]} lines
 * @param {{ unit: number, smooth: number, set: string | null }} how
 */
export function drawLines(u, lines, { unit, smooth, set }) {
  const { ctx, bbox } = u;
  const [x, y] = [scaleTo(u, "x"), scaleTo(u, "y", unit)];
  const known = lines.some(({ key }) => key === set);
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  ctx.lineJoin = "round";
  const usual = lines.length > FEW ? WIDTH.many : WIDTH.few;
  // The one that stands out is drawn over the others.
  const ordered = known ? [...lines].sort((a, b) => Number(a.key === set) - Number(b.key === set)) : lines;
  for (const line of ordered) {
    const alpha = known && line.key !== set ? FAINT : 1;
    const { trace } = line;
    ctx.strokeStyle = ctx.fillStyle = line.colour();
    if (trace.banded && standsOut(trace, y)) band(ctx, trace, x, y, alpha * (lines.length > 1 ? BAND.many : BAND.one));
    const width = (line.key === set && lines.length > 1 ? WIDTH.set : usual) * devicePixelRatio;
    if (smooth > 0) {
      stroke(ctx, trace, trace.line, x, y, { width, dash: [], alpha: alpha * FAINT });
      const length = (u.scales.x.max ?? 1) - (u.scales.x.min ?? 0);
      stroke(ctx, trace, smoothed(trace, smooth, length), x, y, { width, dash: line.dash, alpha });
    } else {
      stroke(ctx, trace, trace.line, x, y, { width, dash: line.dash, alpha });
    }
  }
  for (const line of lines) marks(u, line, x);
  ctx.restore();
}

/**
 * @param {CanvasRenderingContext2D} ctx
 * @param {import("./series.js").Trace} trace
 * @param {Float64Array} values
 * @param {(value: number) => number} x
 * @param {(value: number) => number} y
 * @param {{ width: number, dash: number[], alpha: number }} pen
 */
function stroke(ctx, { x: column }, values, x, y, { width, dash, alpha }) {
  const dot = 2.5 * devicePixelRatio;
  const apart = DOTS_GAP * devicePixelRatio;
  const dots = new Path2D();
  ctx.globalAlpha = alpha;
  ctx.lineWidth = width;
  ctx.setLineDash(dash.map((length) => length * devicePixelRatio));
  ctx.beginPath();
  let before = NaN;
  for (let i = 0; i < values.length; i++) {
    if (Number.isNaN(values[i])) {
      before = NaN;
      continue;
    }
    const [left, top] = [x(column[i]), y(values[i])];
    if (Number.isNaN(before)) ctx.moveTo(left, top);
    else ctx.lineTo(left, top);
    const next = i + 1 < values.length && !Number.isNaN(values[i + 1]) ? x(column[i + 1]) : NaN;
    // Between two gaps there is no line to see.
    if (!(Math.abs(left - before) < apart) && !(Math.abs(next - left) < apart)) {
      dots.moveTo(left + dot, top);
      dots.arc(left, top, dot, 0, 2 * Math.PI);
    }
    before = left;
  }
  ctx.stroke();
  ctx.setLineDash([]);
  ctx.fill(dots);
  ctx.globalAlpha = 1;
}

/**
 * Tell whether a band is seen: whether a bucket reaches further than half a line's width beyond
 * the two points that the line joins there.  To fill a band costs as much as a line.
 *
 * @param {import("./series.js").Trace} trace
 * @param {(value: number) => number} y
 */
function standsOut({ line, low, high }, y) {
  const near = WIDTH.few / 2 * devicePixelRatio;
  for (let i = 0; i < line.length; i++) {
    // The first bucket has two points, its first row and its last.
    const beside = line[i > 0 ? i - 1 : 1];
    const other = Number.isFinite(beside) ? beside : line[i];
    const [least, most] = other < line[i] ? [other, line[i]] : [line[i], other];
    // A gap in the line hides nothing, and no comparison with it holds.
    if (!(y(low[i]) - y(least) <= near && y(most) - y(high[i]) <= near)) return true;
  }
  return false;
}

/**
 * Fill from the least to the greatest value of each bucket, so that one row in a million shows.
 *
 * @param {CanvasRenderingContext2D} ctx
 * @param {import("./series.js").Trace} trace
 * @param {(value: number) => number} x
 * @param {(value: number) => number} y
 * @param {number} alpha
 */
function band(ctx, { x: column, low, high }, x, y, alpha) {
  const path = new Path2D();
  for (let i = 0; i < column.length; i++) {
    const from = i;
    while (i < column.length && !Number.isNaN(low[i])) i++;
    if (i === from) continue;
    path.moveTo(x(column[from]), y(high[from]));
    for (let k = from + 1; k < i; k++) path.lineTo(x(column[k]), y(high[k]));
    for (let k = i - 1; k >= from; k--) path.lineTo(x(column[k]), y(low[k]));
    path.closePath();
  }
  ctx.lineWidth = devicePixelRatio;
  ctx.globalAlpha = alpha;
  ctx.fill(path);
  // The edge, because a spike of one bucket has hardly an area.
  ctx.globalAlpha = Math.min(1, alpha * 2);
  ctx.stroke(path);
  ctx.globalAlpha = 1;
}

/**
 * Mark where values are not finite: +∞ at the top, -∞ at the bottom, NaN, or what is not known, as
 * a stroke on the axis.
 *
 * @param {uPlot} u
 * @param {Line} line
 * @param {(value: number) => number} x
 */
function marks({ ctx, bbox }, { trace }, x) {
  const size = devicePixelRatio;
  const [top, bottom] = [bbox.top, bbox.top + bbox.height];
  ctx.fillStyle = ink("--bad");
  for (const { x: place, value } of trace.odd) {
    const left = x(place);
    if (Math.abs(value) === Infinity) {
      const [tip, foot] = value > 0 ? [top, top + 8 * size] : [bottom, bottom - 8 * size];
      ctx.beginPath();
      ctx.moveTo(left, tip);
      ctx.lineTo(left - 4 * size, foot);
      ctx.lineTo(left + 4 * size, foot);
      ctx.fill();
    } else {
      ctx.fillRect(left - size, bottom - 7 * size, 2 * size, 7 * size);
    }
  }
}

/**
 * The ends of *lines* on both axes, within *range* of x if there is one.
 *
 * @param {Line[]} lines
 * @param {[number, number] | null} range
 * @param {string} log the axes that are logarithmic: a logarithm has no place for zero and below
 * @returns {{ x: [number, number] | null, y: [number, number] | null }}
 */
export function ends(lines, range, log) {
  const floor = { x: log.includes("x") ? Number.MIN_VALUE : -Infinity, y: log.includes("y") ? Number.MIN_VALUE : -Infinity };
  let [left, right, bottom, top] = [Infinity, -Infinity, Infinity, -Infinity];
  for (const { trace } of lines) {
    for (let i = 0; i < trace.x.length; i++) {
      const x = trace.x[i];
      if (!(x >= floor.x) || (range && (x < range[0] || x > range[1]))) continue;
      if (x < left) left = x;
      if (x > right) right = x;
      if (trace.low[i] >= floor.y && trace.low[i] < bottom) bottom = trace.low[i];
      if (trace.line[i] >= floor.y && trace.line[i] < bottom) bottom = trace.line[i];
      if (trace.high[i] >= floor.y && trace.high[i] > top) top = trace.high[i];
    }
  }
  return { x: range ?? (left <= right ? [left, right] : null), y: bottom <= top ? [bottom, top] : null };
}

// ---- When ------------------------------------------------------------------------------------

/**
 * Milliseconds of drawing in one frame: half of it is left for everything else.  Where nothing has
 * moved for a while no motion is broken off, and a frame may take longer: what is shown first, or
 * after a zoom, is there sooner when it is drawn at once.
 */
const FRAME_MS = { moving: 8, still: 48 };

/** Milliseconds without a drawing after which charts are still. */
const STILL = 1_000;

/** @type {Set<() => void>} */
const waiting = new Set();

/**
 * Run *draw* in one of the next frames, once, however often it is asked for until then.
 *
 * @param {() => void} draw
 */
export function soon(draw) {
  if (waiting.size === 0) requestAnimationFrame(frame);
  waiting.add(draw);
}

/** @param {() => void} draw */
export function never(draw) {
  waiting.delete(draw);
}

let drawnAt = -STILL;

function frame() {
  const begun = performance.now();
  const most = begun - drawnAt < STILL ? FRAME_MS.moving : FRAME_MS.still;
  for (const draw of waiting) {
    waiting.delete(draw);
    draw();
    drawnAt = performance.now();
    if (drawnAt - begun > most) break;
  }
  if (waiting.size) requestAnimationFrame(frame);
}
