/* Scatter: one mark a run, one number of it against another; pointing at a mark names the run. */

import { tint } from "./colour.js";
import { element, fill, write } from "./elements.js";
import { number } from "./format.js";
import { nearest, pointer, scaleOf, svg } from "./plane.js";

/**
 * @typedef {import("./api.js").Run} Run
 * @typedef {import("./facts.js").Fact} Fact
 * @typedef {{ run: Run, x: number, y: number }} Mark where a run lies, in pixels
 */

const HEIGHT = 460;
const EDGE = { left: 76, right: 20, top: 16, bottom: 44 };

/** Pixels around a mark in which it is meant. */
const REACH = 24;

export class Scatter {
  /**
   * @param {import("./scope.js").Scope} scope
   * @param {(run: Run) => void} visit
   */
  constructor(scope, visit) {
    this.readout = element("p", { class: "readout", role: "status" });
    this.drawing = svg("svg", { role: "img", height: HEIGHT });
    this.element = element("div", { class: "card plane" }, this.drawing, this.readout);
    /** @type {Mark[]} */
    this.marks = [];
    /** @type {{ runs: Run[], x: Fact, y: Fact, logarithmic: { x: boolean, y: boolean } } | null} */
    this.shown = null;
    this.drawing.addEventListener("pointermove", (/** @type {PointerEvent} */ event) => this.point(this.under(event)));
    this.drawing.addEventListener("pointerleave", () => this.point(null));
    this.drawing.addEventListener("click", (/** @type {MouseEvent} */ event) => {
      const mark = this.under(event);
      if (mark) visit(mark.run);
    });
    const size = new ResizeObserver(() => this.draw());
    size.observe(this.element);
    scope.ending(() => size.disconnect());
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
      this.ring = svg("circle", { class: "ring", r: 9, visibility: "hidden" }));
    const lacking = this.shown.runs.length - drawn.length;
    this.rest = lacking ? `${lacking} without a number here` : "Point at a mark to see which run it is.";
    write(this.readout, this.rest);
  }

  /** @param {MouseEvent} event */
  under(event) {
    const { x, y } = pointer(event, this.drawing);
    return nearest(this.marks, (mark) => Math.hypot(mark.x - x, mark.y - y), REACH);
  }

  /** @param {Mark | null} mark */
  point(mark) {
    if (!this.shown || !this.ring) return;
    this.drawing.classList.toggle("pointed", mark !== null);
    this.ring.setAttribute("visibility", mark ? "visible" : "hidden");
    if (!mark) {
      write(this.readout, this.rest ?? "");
      return;
    }
    this.ring.setAttribute("cx", mark.x);
    this.ring.setAttribute("cy", mark.y);
    const { x, y } = this.shown;
    write(this.readout, `${mark.run.name}: ${number(x.number(mark.run) ?? 0)}, ${number(y.number(mark.run) ?? 0)}`);
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
