/* Scatter: one mark a run, one number of it against another; pointing at a mark names the run. */

import { tint } from "./colour.js";
import { fill } from "./elements.js";
import { number } from "./format.js";
import { Plane, nearest, pointer, scaleOf, svg } from "./plane.js";

/**
 * @typedef {import("./api.js").Run} Run
 * @typedef {import("./facts.js").Fact} Fact
 * @typedef {{ run: Run, x: number, y: number }} Mark where a run lies, in pixels
 */

const HEIGHT = 460;
const EDGE = { left: 76, right: 20, top: 16, bottom: 44 };

/** Pixels around a mark in which it is meant. */
const REACH = 24;

/** @extends {Plane<Mark>} */
export class Scatter extends Plane {
  /**
   * @param {import("./scope.js").Scope} scope
   * @param {(run: Run) => void} visit
   */
  constructor(scope, visit) {
    super(scope, HEIGHT, visit);
    /** @type {{ runs: Run[], x: Fact, y: Fact, logarithmic: { x: boolean, y: boolean } } | null} */
    this.shown = null;
    this.ring = svg("circle", { class: "ring", r: 9 });
  }

  /**
   * Show *runs*, the fact *y* of each over its fact *x*; those that lack one are left out.
   *
   * @param {Run[]} runs
   * @param {Fact} x
   * @param {Fact} y
   * @param {{ x: boolean, y: boolean }} logarithmic
   */
  show(runs, x, y, logarithmic) {
    this.shown = { runs, x, y, logarithmic };
    this.draw();
  }

  draw() {
    const width = this.element.clientWidth;
    if (!this.shown || !width) return;
    const { x, y, logarithmic } = this.shown;
    const drawn = this.shown.runs.filter((run) => plotted(x, run, logarithmic.x) && plotted(y, run, logarithmic.y));
    const [right, bottom] = [width - EDGE.right, HEIGHT - EDGE.bottom];
    const across = scaleOf(drawn.map((run) => x.number(run) ?? 0), EDGE.left + 12, right - 12, logarithmic.x);
    const up = scaleOf(drawn.map((run) => y.number(run) ?? 0), bottom - 12, EDGE.top + 12, logarithmic.y);
    this.marks = drawn.map((run) => ({ run, x: across.place(x.number(run) ?? 0), y: up.place(y.number(run) ?? 0) }));
    this.drawing.setAttribute("width", String(width));
    this.drawing.setAttribute("aria-label", `${y.id} against ${x.id} of ${drawn.length} runs`);
    fill(this.drawing,
      ...across.ticks.flatMap(({ at, label }) => [
        svg("line", { x1: at, x2: at, y1: EDGE.top, y2: bottom }),
        svg("text", { x: at, y: bottom + 16, "text-anchor": "middle" }, label)]),
      ...up.ticks.flatMap(({ at, label }) => [
        svg("line", { x1: EDGE.left, x2: right, y1: at, y2: at }),
        svg("text", { x: EDGE.left - 8, y: at + 4, "text-anchor": "end" }, label)]),
      svg("text", { class: "title", x: (EDGE.left + right) / 2, y: HEIGHT - 8, "text-anchor": "middle" }, x.id),
      svg("text", {
        class: "title", "text-anchor": "middle", transform: `translate(16 ${(EDGE.top + bottom) / 2}) rotate(-90)`,
      }, y.id),
      ...this.marks.map((mark) => {
        const circle = svg("circle", { cx: mark.x, cy: mark.y, r: 5 });
        circle.style.fill = tint(mark.run.id);
        return circle;
      }),
      this.ring);
    const lacking = this.shown.runs.length - drawn.length;
    this.rest = (lacking ? `${lacking} without a number here. ` : "") + "Point at a mark, or walk with the arrow keys, to see which run it is.";
    this.again();
  }

  /** @param {MouseEvent} event */
  under(event) {
    const { x, y } = pointer(event, this.drawing);
    return nearest(this.marks, (mark) => Math.hypot(mark.x - x, mark.y - y), REACH);
  }

  /**
   * @param {Mark} mark
   * @param {"x" | "y"} axis
   */
  place(mark, axis) {
    return mark[axis];
  }

  /** @param {Mark} mark */
  told({ run }) {
    return this.shown ? `${number(this.shown.x.number(run) ?? 0)}, ${number(this.shown.y.number(run) ?? 0)}` : "";
  }

  /** @param {Mark | null | undefined} mark */
  point(mark) {
    super.point(mark);
    this.ring.setAttribute("visibility", mark ? "visible" : "hidden");
    if (mark) this.ring.setAttribute("transform", `translate(${mark.x} ${mark.y})`);
  }
}

/**
 * @param {Fact} fact
 * @param {Run} run
 * @param {boolean} logarithmic
 */
function plotted(fact, run, logarithmic) {
  const value = fact.number(run);
  return value !== null && (!logarithmic || value > 0);
}
