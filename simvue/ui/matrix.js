/*
 * Matrix: facts down, runs across, of any number of both: only the cells on screen are elements.
 *
 * All rows have one height and all columns of runs one width, so empty cells around those that
 * are drawn stand for the others and the scroll bars tell the truth.
 */

import { colourDot, status } from "./badge.js";
import { openDialog } from "./dialog.js";
import { element, keep } from "./elements.js";
import { number } from "./format.js";
import { runAddress } from "./router.js";

/**
 * @typedef {import("./api.js").Run} Run
 * @typedef {import("./facts.js").Fact} Fact
 */

/** Pixels; compare.css has the same numbers. */
const ROW = 30;
const COLUMN = 220;
const KEYS = { wide: 280, narrow: 140 };

/** Rows and columns drawn beyond the edges of the screen. */
const MARGIN = 3;

/** Lines of a text that are held against another's: a million pairs, some milliseconds. */
const LINES_MAX = 1_000;

export class Matrix {
  /**
   * @param {import("./scope.js").Scope} scope
   * @param {object} wishes
   * @param {(run: string) => void} wishes.base makes a run the baseline, or none if it is
   * @param {(run: string) => void} wishes.drop takes a run out of the comparison
   */
  constructor(scope, wishes) {
    this.wishes = wishes;
    /** @type {Run[]} */
    this.runs = [];
    /** @type {{ fact: Fact, differs: boolean }[]} */
    this.rows = [];
    /** @type {Run | null} */
    this.base = null;
    this.heads = element("tr");
    this.above = element("tbody", { "aria-hidden": "true" }, element("tr", {}, element("td")));
    this.body = element("tbody");
    this.below = element("tbody", { "aria-hidden": "true" }, element("tr", {}, element("td")));
    this.table = element("table", {}, element("caption", { class: "unseen" }, "Runs beside each other"),
      element("thead", {}, this.heads), this.above, this.body, this.below);
    this.element = element("div", { class: "card matrix", tabIndex: 0, role: "region", "aria-label": "Comparison" }, this.table);
    this.frame = 0;
    const redraw = () => {
      cancelAnimationFrame(this.frame);
      this.frame = requestAnimationFrame(() => this.draw());
    };
    scope.listen(this.element, "scroll", redraw, { passive: true });
    // A browser goes to an end in a motion, which the rows that are drawn on the way may break off.
    scope.listen(this.element, "keydown", (event) => {
      const end = { Home: 0, End: this.element.scrollHeight }[/** @type {KeyboardEvent} */ (event).key];
      if (end === undefined) return;
      this.element.scrollTop = end;
      event.preventDefault();
    });
    const size = new ResizeObserver(redraw);
    size.observe(this.element);
    scope.ending(() => {
      size.disconnect();
      cancelAnimationFrame(this.frame);
    });
  }

  /**
   * @param {Run[]} runs
   * @param {{ fact: Fact, differs: boolean }[]} rows
   * @param {Run | null} base one of the runs
   */
  show(runs, rows, base) {
    this.runs = runs;
    this.rows = rows;
    this.base = base;
    this.table.setAttribute("aria-rowcount", String(rows.length + 1));
    this.table.setAttribute("aria-colcount", String(runs.length + 1));
    this.draw();
  }

  draw() {
    const keys = matchMedia("(max-width: 760px)").matches ? KEYS.narrow : KEYS.wide;
    const { scrollTop, scrollLeft, clientHeight, clientWidth } = this.element;
    const [first, end] = part(scrollTop, clientHeight || 600, ROW, this.rows.length);
    const [left, right] = part(scrollLeft, Math.max(0, clientWidth - keys), COLUMN, this.runs.length);
    const runs = this.runs.slice(left, right);
    const before = left * COLUMN;
    const after = (this.runs.length - right) * COLUMN;
    this.table.style.width = `${keys + this.runs.length * COLUMN}px`;
    keep(this.heads, [null, "before", ...runs, "after"], (run) => (run && typeof run === "object" ? run.id : String(run)),
      (run) => (run === null ? element("th", { class: "key", scope: "col" }, "Fact")
        : typeof run === "string" ? element("td", { "aria-hidden": "true" }) : this.head(run)),
      (cell, run) => {
        if (run && typeof run === "object") this.headed(cell, run);
        else if (run) cell.style.width = `${run === "before" ? before : after}px`;
      });
    spread(this.above, first * ROW);
    spread(this.below, (this.rows.length - end) * ROW);
    keep(this.body, this.rows.slice(first, end), ({ fact }) => fact.id,
      ({ fact }) => element("tr", {}, element("th", { class: "key", scope: "row", dir: "auto", title: fact.id },
        element("bdi", {}, fact.id))),
      (row, { fact, differs }) => {
        row.className = differs ? "differs" : "";
        const key = /** @type {Element} */ (row.firstElementChild);
        row.replaceChildren(key, element("td", { "aria-hidden": "true" }),
          ...runs.map((run) => this.cell(fact, run)), element("td", { "aria-hidden": "true" }));
      });
  }

  /** @param {Run} run */
  head(run) {
    const name = element("a", { class: "name", href: runAddress(run.id), title: run.name },
      colourDot(run), element("bdi", {}, run.name));
    const drop = element("button", {
      type: "button", class: "plain", "aria-label": `Take ${run.name} out`, onclick: () => this.wishes.drop(run.id),
    }, "✕");
    return element("th", { scope: "col" }, element("div", {}, name, drop), element("div", {}, element("span"), element("button", {
      type: "button", class: "plain", onclick: () => this.wishes.base(run.id),
    }, "Baseline")));
  }

  /**
   * @param {HTMLElement} head
   * @param {Run} run
   */
  headed(head, run) {
    const based = run.id === this.base?.id;
    const [mark, button] = /** @type {HTMLElement} */ (head.lastElementChild).children;
    head.classList.toggle("based", based);
    status(/** @type {HTMLElement} */ (mark), run);
    button.setAttribute("aria-pressed", String(based));
  }

  /**
   * @param {Fact} fact
   * @param {Run} run
   */
  cell(fact, run) {
    const shown = fact.text(run);
    const figure = fact.number(run) !== null;
    const cell = element("td", { class: figure ? "figure" : "", dir: "auto", title: shown }, shown.slice(0, 300));
    if (this.base && run !== this.base) {
      const change = delta(fact.number(this.base), fact.number(run), fact.unit);
      if (change) {
        cell.append(element("small", {}, change));
        cell.title += ` (${change})`;
      }
      const [before, after] = [this.base, run].map(fact.exact);
      cell.classList.toggle("same", before === after);
      if (before !== after && before.includes("\n") && after.includes("\n")) {
        cell.prepend(element("button", {
          type: "button", onclick: () => openDialog(fact.id, element("pre", { class: "diff", tabIndex: 0 }, ...linesOf(before, after))),
        }, "Diff"), " ");
      }
    }
    return cell;
  }
}

/**
 * Say how far a number is from that of the baseline; nothing where they are the same.
 *
 * @param {number | null} base
 * @param {number | null} value
 * @param {string} [unit]
 */
function delta(base, value, unit = "") {
  if (base === null || value === null || base === value) return "";
  const away = value - base;
  const sign = away > 0 ? "+" : "";
  const share = (away / Math.abs(base)) * 100;
  return `${sign}${number(Number(away.toPrecision(3)))}${unit}${base === 0 ? "" : ` · ${sign}${Number(share.toPrecision(3))} %`}`;
}

/**
 * The lines of two texts, each once where both have it: the longest common sequence stays.
 *
 * @param {string} before
 * @param {string} after
 */
export function linesOf(before, after) {
  const [old, now] = [before, after].map((text) => text.split("\n", LINES_MAX));
  // How many lines the rests of both have in common, by where these begin.
  const common = [...old, ""].map(() => new Uint16Array(now.length + 1));
  for (let i = old.length; i--;) {
    for (let j = now.length; j--;) {
      common[i][j] = old[i] === now[j] ? common[i + 1][j + 1] + 1 : Math.max(common[i + 1][j], common[i][j + 1]);
    }
  }
  const found = [];
  let [i, j] = [0, 0];
  while (i < old.length || j < now.length) {
    if (old[i] === now[j]) {
      found.push(`  ${old[i++]}\n`);
      j++;
    } else if (j === now.length || (i < old.length && common[i + 1][j] >= common[i][j + 1])) {
      found.push(element("del", {}, `- ${old[i++]}\n`));
    } else {
      found.push(element("ins", {}, `+ ${now[j++]}\n`));
    }
  }
  if (old.length + now.length >= LINES_MAX) found.push(`\nOf each at most ${LINES_MAX} lines.`);
  return found;
}

/**
 * Which of *count* things of *size* pixels are on screen: [first, end].
 *
 * @param {number} scrolled
 * @param {number} seen pixels
 * @param {number} size
 * @param {number} count
 * @returns {[number, number]}
 */
function part(scrolled, seen, size, count) {
  const first = Math.max(0, Math.floor(scrolled / size) - MARGIN);
  return [Math.min(first, count), Math.min(count, first + Math.ceil(seen / size) + 2 * MARGIN)];
}

/**
 * @param {HTMLTableSectionElement} section
 * @param {number} height pixels
 */
function spread(section, height) {
  section.hidden = height === 0;
  /** @type {HTMLElement} */ (section.rows[0].cells[0]).style.height = `${height}px`;
}

/**
 * Say of each fact whether the runs differ in it.
 *
 * @param {Fact[]} facts
 * @param {Run[]} runs
 */
export function compared(facts, runs) {
  return facts.map((fact) => {
    const first = runs.length ? fact.exact(runs[0]) : "";
    return { fact, differs: runs.some((run) => fact.exact(run) !== first) };
  });
}
