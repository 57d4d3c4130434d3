/*
 * Plane: what drawings of runs share, as SVG: elements, scales, ticks, and which run is meant, by
 * the pointer or by the keyboard.
 *
 * Lines over steps are uPlot's (chart.js); here are the drawings in which a run is one mark.
 */

import { element, write } from "./elements.js";
import { number } from "./format.js";

/** @typedef {import("./api.js").Run} Run */

/**
 * Which way an arrow key leads: right or down is 1.
 *
 * @type {Record<string, ["x" | "y", number]>}
 */
const WAYS = { ArrowLeft: ["x", -1], ArrowRight: ["x", 1], ArrowUp: ["y", -1], ArrowDown: ["y", 1] };

/**
 * A drawing in which each run is a mark, and the line below it that says which run is meant.
 *
 * @template {{ run: Run }} Mark
 */
export class Plane {
  /**
   * @param {import("./scope.js").Scope} scope
   * @param {number} height pixels
   * @param {(run: Run) => void} visit
   */
  constructor(scope, height, visit) {
    /** @type {Mark[]} */
    this.marks = [];
    /** @type {Mark | null | undefined} the one that is meant */
    this.pointed = null;
    /** What is said while none is meant. */
    this.rest = "";
    this.readout = element("p", { class: "readout", role: "status" });
    this.drawing = svg("svg", {
      role: "img", height, tabindex: 0,
      onpointermove: (/** @type {PointerEvent} */ event) => this.moved(event),
      onpointerleave: () => this.point(null),
      onblur: () => this.point(null),
      onclick: (/** @type {PointerEvent} */ event) => {
        const mark = this.under(event);
        if (mark) visit(mark.run);
      },
      onkeydown: (/** @type {KeyboardEvent} */ event) => {
        const way = WAYS[event.key];
        if (way) this.point(next(this.offered, this.pointed, (mark) => this.place(mark, way[0]), way[1]));
        else if (event.key === "Enter" && this.pointed) visit(this.pointed.run);
        else return;
        event.preventDefault();
      },
    });
    this.element = element("div", { class: "card plane" }, this.drawing, this.readout);
    const size = new ResizeObserver(() => this.draw());
    size.observe(this.element);
    scope.ending(() => size.disconnect());
  }

  /** The marks of which one can be meant. */
  get offered() {
    return this.marks;
  }

  /** Draw anew: what is shown is another, or has another size. */
  draw() {}

  /**
   * The mark that the pointer means.
   *
   * @param {MouseEvent} _event
   * @returns {Mark | null}
   */
  under(_event) {
    return null;
  }

  /**
   * Where a mark lies, in pixels from the left or from the top.
   *
   * @param {Mark} _mark
   * @param {"x" | "y"} _axis
   */
  place(_mark, _axis) {
    return 0;
  }

  /**
   * What is said of a mark, behind the name of its run.
   *
   * @param {Mark} _mark
   */
  told(_mark) {
    return "";
  }

  /** @param {PointerEvent} event */
  moved(event) {
    this.point(this.under(event));
  }

  /** @param {Mark | null | undefined} mark */
  point(mark) {
    this.pointed = mark;
    this.drawing.classList.toggle("pointed", Boolean(mark));
    write(this.readout, mark ? `${mark.run.name}: ${this.told(mark)}` : this.rest);
  }

  /** Mean the same run as before among marks that are drawn anew. */
  again() {
    this.point(this.marks.find(({ run }) => run.id === this.pointed?.run.id));
  }
}

/**
 * The mark that follows *from* in order of *place*, or precedes it: every one is reached, also
 * where several lie on each other.  At an end, the last one; from none, the first.
 *
 * @template Mark
 * @param {Mark[]} marks
 * @param {Mark | null | undefined} from
 * @param {(mark: Mark) => number} place
 * @param {number} way 1 or -1
 */
function next(marks, from, place, way) {
  const order = [...marks].sort((a, b) => place(a) - place(b));
  return from ? order[order.indexOf(from) + way] ?? from : order[0];
}

/**
 * Make an SVG element; *attributes* as SVG writes them, functions named `on...` listen.
 *
 * @param {string} tag
 * @param {Record<string, any>} [attributes]
 * @param {...(Node | string)} children
 * @returns {any} an SVGElement of that tag
 */
export function svg(tag, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, String(value));
  }
  made.append(...children);
  return made;
}

/**
 * @typedef {object} Scale where values lie between two pixels
 * @property {(value: number | string) => number} place a pixel
 * @property {(pixel: number) => number} value what lies there; the number of the category for texts
 * @property {{ at: number, label: string }[]} ticks
 */

/** Ticks that are easily read beside each other. */
const TICKS = 6;

/** Categories that get a label: more would stand on each other. */
const LABELS = 24;

/**
 * Make the scale of *values*: even, logarithmic, or one place for each text.
 *
 * @param {(number | string)[]} values
 * @param {number} from the pixel of the smallest
 * @param {number} to the pixel of the largest
 * @param {boolean} [logarithmic] only if all are above zero
 * @returns {Scale}
 */
export function scaleOf(values, from, to, logarithmic = false) {
  const numbers = /** @type {number[]} */ (values.filter((value) => typeof value === "number"));
  if (numbers.length < values.length) return categories(values.map(String), from, to);
  // Not Math.min(...numbers): some thousand arguments are more than a call takes.
  let low = numbers.reduce((a, b) => Math.min(a, b), Infinity);
  let high = numbers.reduce((a, b) => Math.max(a, b), -Infinity);
  if (low > high) [low, high] = [0, 1];
  const log = logarithmic && low > 0;
  if (low === high) [low, high] = log ? [low / 2, high * 2] : [low - (Math.abs(low) || 1) / 2, high + (Math.abs(high) || 1) / 2];
  const into = log ? Math.log10 : (/** @type {number} */ value) => value;
  const out = log ? (/** @type {number} */ value) => 10 ** value : into;
  const [start, end] = [into(low), into(high)];
  const place = (/** @type {any} */ value) => from + ((into(value) - start) / (end - start)) * (to - from);
  return {
    place,
    value: (pixel) => out(start + ((pixel - from) / (to - from)) * (end - start)),
    ticks: (log ? decades(start, end) : steps(low, high)).map((value) => ({ at: place(value), label: number(value) })),
  };
}

/**
 * @param {string[]} values
 * @param {number} from
 * @param {number} to
 * @returns {Scale}
 */
function categories(values, from, to) {
  const names = [...new Set(values)].sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  const gap = (to - from) / Math.max(1, names.length - 1);
  const place = (/** @type {number | string} */ value) => from + names.indexOf(String(value)) * gap;
  const every = Math.ceil(names.length / LABELS);
  return {
    place,
    value: (pixel) => (pixel - from) / gap,
    ticks: names.filter((_, i) => i % every === 0).map((name) => ({ at: place(name), label: name })),
  };
}

/**
 * Round values between two numbers, about TICKS of them: 1, 2 or 5 times a power of ten apart.
 *
 * @param {number} low
 * @param {number} high
 */
function steps(low, high) {
  const rough = (high - low) / TICKS;
  if (!Number.isFinite(rough)) return [low, high];
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5, 10].find((times) => times * power >= rough) ?? 10);
  const found = [];
  // Counted and not added up, so that no rounding piles up.
  for (let i = Math.ceil(low / step); i * step <= high && found.length < 3 * TICKS; i++) {
    found.push(Number((i * step).toPrecision(12)));
  }
  return found;
}

/**
 * Powers of ten between two exponents; the two ends where there are none.
 *
 * @param {number} start
 * @param {number} end
 */
function decades(start, end) {
  const found = [];
  const every = Math.max(1, Math.ceil((end - start) / TICKS));
  for (let power = Math.ceil(start); power <= end; power += every) found.push(10 ** power);
  return found.length > 1 ? found : [10 ** start, 10 ** end];
}

/**
 * Return the one of *marks* that is nearest, at most *reach* pixels away.
 *
 * @template Mark
 * @param {Iterable<Mark>} marks
 * @param {(mark: Mark) => number} distance in pixels
 * @param {number} reach
 * @returns {Mark | null}
 */
export function nearest(marks, distance, reach) {
  let found = null;
  for (const mark of marks) {
    const away = distance(mark);
    if (away <= reach) [found, reach] = [mark, away];
  }
  return found;
}

/**
 * Where a pointer is, in pixels of a drawing.
 *
 * @param {MouseEvent | Touch} event
 * @param {Element} drawing
 */
export function pointer(event, drawing) {
  const box = drawing.getBoundingClientRect();
  return { x: event.clientX - box.left, y: event.clientY - box.top };
}
