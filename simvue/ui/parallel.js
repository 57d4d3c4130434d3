/*
 * Parallel: one line a run over several axes, one a fact.  Dragging along an axis brushes it:
 * what does not pass there becomes faint.
 */

import { tint } from "./colour.js";
import { fill } from "./elements.js";
import { Plane, nearest, pointer, scaleOf, svg } from "./plane.js";

/**
 * @typedef {import("./api.js").Run} Run
 * @typedef {import("./facts.js").Fact} Fact
 * @typedef {{ low: number, high: number }} Brush values of the axis; for texts, numbers of categories
 * @typedef {{ fact: Fact, x: number, scale: import("./plane.js").Scale, brush: Brush | undefined }} Axis
 * @typedef {{ run: Run, places: number[], line: any }} Line the pixel of the run on each axis
 */

const HEIGHT = 420;
const EDGE = { side: 90, top: 44, bottom: 20 };

/** Pixels on each side of an axis in which dragging brushes it. */
const GRIP = 18;

/** Pixels between two axes, at least: on a small screen the drawing is scrolled. */
const GAP_MIN = 120;

/** Pixels from a line within which it is meant. */
const REACH = 14;

/** Pixels that a pointer must move for a brush; less of it takes the brush away. */
const BRUSH_MIN = 4;

/** @extends {Plane<Line>} */
export class Parallel extends Plane {
  /**
   * @param {import("./scope.js").Scope} scope
   * @param {object} wishes
   * @param {(run: Run) => void} wishes.visit
   * @param {(fact: Fact, brush: Brush | null) => void} wishes.brush
   */
  constructor(scope, wishes) {
    super(scope, HEIGHT, wishes.visit);
    this.wishes = wishes;
    /** @type {Axis[]} */
    this.axes = [];
    /** @type {{ runs: Run[], facts: Fact[], brushes: Map<string, Brush> } | null} */
    this.shown = null;
    /** @type {{ axis: Axis, from: number } | null} */
    this.dragged = null;
    for (const [type, act] of /** @type {const} */ ([
      ["pointerdown", this.pressed], ["pointerup", this.released],
      // A finger brushes on an axis, and scrolls beside it; then the browser takes it over.
      ["touchstart", (/** @type {TouchEvent} */ event) => { if (this.axisAt(event.touches[0])) event.preventDefault(); }],
      ["pointercancel", () => { this.dragged = null; }],
    ])) {
      this.drawing.addEventListener(type, act.bind(this));
    }
  }

  /**
   * Show *runs* over *facts*, with *brushes* by the ids of facts; runs that lack one are left out.
   *
   * @param {Run[]} runs
   * @param {Fact[]} facts
   * @param {Map<string, Brush>} brushes
   */
  show(runs, facts, brushes) {
    this.shown = { runs, facts, brushes };
    this.draw();
  }

  /** The lines that pass every brush. */
  get offered() {
    return this.marks.filter((line) => this.passes(line));
  }

  draw() {
    if (!this.shown || !this.element.clientWidth) return;
    const { runs, facts, brushes } = this.shown;
    const width = Math.max(this.element.clientWidth, 2 * EDGE.side + (facts.length - 1) * GAP_MIN);
    const drawn = runs.filter((run) => facts.every((fact) => fact.exact(run) !== ""));
    const gap = (width - 2 * EDGE.side) / Math.max(1, facts.length - 1);
    this.axes = facts.map((fact, i) => {
      const values = drawn.map((run) => fact.number(run) ?? fact.exact(run));
      // One text among the numbers makes all of them names.
      const same = values.every((value) => typeof value === "number") ? values : values.map(String);
      return {
        fact, x: EDGE.side + i * gap, brush: brushes.get(fact.id),
        scale: scaleOf(same, HEIGHT - EDGE.bottom, EDGE.top),
      };
    });
    this.marks = drawn.map((run) => {
      const places = this.axes.map(({ fact, scale }) => scale.place(fact.number(run) ?? fact.exact(run)));
      const line = svg("polyline", { points: places.map((y, i) => `${this.axes[i].x},${y}`).join(" ") });
      line.style.stroke = tint(run.id);
      return { run, places, line };
    });
    this.drawing.setAttribute("width", String(width));
    fill(this.drawing, ...this.marks.map(({ line }) => line), ...this.axes.flatMap((axis) => this.axisParts(axis, gap)));
    this.sift();
  }

  /**
   * @param {Axis} axis
   * @param {number} gap pixels to the next one
   */
  axisParts(axis, gap) {
    const { x, scale, fact, brush } = axis;
    const room = Math.max(6, Math.floor(gap / 7));
    const bar = svg("rect", { class: "brush", x: x - 8, width: 16, y: 0, height: 0 });
    if (brush) place(bar, pixelAt(scale, brush.high), pixelAt(scale, brush.low));
    return [
      svg("line", { x1: x, x2: x, y1: EDGE.top, y2: HEIGHT - EDGE.bottom }),
      svg("rect", { class: "grip", x: x - GRIP, width: 2 * GRIP, y: EDGE.top - 8, height: HEIGHT - EDGE.top - EDGE.bottom + 16 }),
      bar,
      svg("text", { class: "title", x, y: 20, "text-anchor": "middle" }, shortened(fact.id, room), svg("title", {}, fact.id)),
      ...scale.ticks.map(({ at, label }) => svg("text", { x: x - 8, y: at + 4, "text-anchor": "end" }, shortened(label, 14))),
    ];
  }

  /** @param {Line} line */
  passes(line) {
    return this.axes.every(({ brush, scale }, i) => {
      if (!brush) return true;
      const y = line.places[i];
      // Half a pixel, because a value may lie exactly on an edge.
      return y <= pixelAt(scale, brush.low) + 0.5 && y >= pixelAt(scale, brush.high) - 0.5;
    });
  }

  sift() {
    let count = 0;
    for (const line of this.marks) {
      const passes = this.passes(line);
      count += Number(passes);
      line.line.classList.toggle("faint", !passes);
    }
    const all = this.marks.length;
    const lacking = this.shown ? this.shown.runs.length - all : 0;
    this.drawing.setAttribute("aria-label", `${all} runs over ${this.axes.map(({ fact }) => fact.id).join(", ")}; ${count} chosen`);
    this.rest = (count < all ? `${count} of ${all} runs chosen. Click an axis to choose all of it again.`
      : `${all} runs. Drag along an axis to choose some; arrow keys walk through them.`) + (lacking ? ` ${lacking} lack one of the values.` : "");
    this.again();
  }

  // ---- The pointer -----------------------------------------------------------------------------

  /** @param {MouseEvent | Touch} event */
  axisAt(event) {
    const { x } = pointer(event, this.drawing);
    return nearest(this.axes, (axis) => Math.abs(axis.x - x), GRIP);
  }

  /**
   * @param {MouseEvent} event
   * @returns {Line | null}
   */
  under(event) {
    const { x, y } = pointer(event, this.drawing);
    const right = this.axes.findIndex((axis) => axis.x >= x);
    if (right < 1 || this.axisAt(event)) return null;
    const [from, to] = [this.axes[right - 1].x, this.axes[right].x];
    const part = (x - from) / (to - from);
    return nearest(this.offered, ({ places }) => (
      Math.abs(places[right - 1] * (1 - part) + places[right] * part - y)), REACH);
  }

  /**
   * All arrow keys follow the first axis.
   *
   * @param {Line} line
   */
  place({ places }) {
    return places[0];
  }

  /** @param {Line} line */
  told({ run }) {
    return this.axes.map(({ fact }) => fact.text(run)).join(" · ");
  }

  /** @param {Line | null | undefined} line */
  point(line) {
    this.pointed?.line.classList.remove("pointed");
    super.point(line);
    line?.line.classList.add("pointed");
  }

  /** @param {PointerEvent} event */
  pressed(event) {
    const axis = this.axisAt(event);
    if (!axis || event.button !== 0) return;
    this.drawing.setPointerCapture(event.pointerId);
    this.dragged = { axis, from: pointer(event, this.drawing).y };
  }

  /** @param {PointerEvent} event */
  moved(event) {
    if (!this.dragged) {
      super.moved(event);
      return;
    }
    this.dragged.axis.brush = this.brushTo(event) ?? undefined;
    const bars = this.drawing.querySelectorAll(".brush");
    this.axes.forEach(({ brush, scale }, i) => {
      if (brush) place(bars[i], pixelAt(scale, brush.high), pixelAt(scale, brush.low));
    });
    this.sift();
  }

  /** @param {PointerEvent} event */
  released(event) {
    if (!this.dragged) return;
    const { axis } = this.dragged;
    const brush = this.brushTo(event);
    this.dragged = null;
    this.wishes.brush(axis.fact, brush);
  }

  /** @param {PointerEvent} event */
  brushTo(event) {
    if (!this.dragged) return null;
    const { axis, from } = this.dragged;
    const to = pointer(event, this.drawing).y;
    if (Math.abs(to - from) < BRUSH_MIN) return null;
    const inside = (/** @type {number} */ y) => Math.min(HEIGHT - EDGE.bottom, Math.max(EDGE.top, y));
    return { low: axis.scale.value(inside(Math.max(from, to))), high: axis.scale.value(inside(Math.min(from, to))) };
  }
}

/**
 * The pixel of a value of a brush; that of a text is the number of its category.
 *
 * @param {import("./plane.js").Scale} scale
 * @param {number} value
 */
function pixelAt(scale, value) {
  const [bottom, top] = [HEIGHT - EDGE.bottom, EDGE.top];
  const [low, high] = [scale.value(bottom), scale.value(top)];
  return low === high ? bottom : bottom + ((value - low) / (high - low)) * (top - bottom);
}

/**
 * @param {Element} bar
 * @param {number} top
 * @param {number} bottom
 */
function place(bar, top, bottom) {
  bar.setAttribute("y", String(top));
  bar.setAttribute("height", String(Math.max(0, bottom - top)));
}

/**
 * @param {string} text
 * @param {number} most letters
 */
function shortened(text, most) {
  const letters = [...text];
  return letters.length <= most ? text : `${letters.slice(0, most - 1).join("")}…`;
}
