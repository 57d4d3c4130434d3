/*
 * Table: the rows of a long list, of which only those on screen are elements.
 *
 * Every row has the same height, so two rows that are empty, one above and one below, stand for
 * all others, and the scroll bar tells the truth.  A row is known by its run, so what is
 * focused stays focused when the list changes.
 */

import { element, keep, write } from "./elements.js";
import { integer } from "./format.js";

/**
 * @typedef {import("./columns.js").Column} Column
 * @typedef {import("./source.js").Line} Line
 *
 * @typedef {object} Wishes what the reader does with the table
 * @property {(column: Column) => void} sort
 * @property {(index: number, range: boolean) => void} tick one line, or all since the last one
 * @property {() => void} tickAll
 * @property {(run: string) => void} hide turns the eye of a run
 * @property {(value: string) => void} toggle opens or closes a group
 * @property {(run: import("./api.js").Run, cell: HTMLElement) => void} tag
 * @property {() => void} look the rows on screen are others
 * @property {(ids: string[]) => void} order columns were moved
 */

/** Pixels of a row; style.css has the same number. */
const ROW = 36;

/** Rows drawn beyond each edge of the screen, so that a small step shows no gap. */
const MARGIN = 8;

/** What widths of columns are kept under, in this browser. */
const WIDTHS = "simvue.widths";
const WIDTH_MIN = 48;

/** Widths of the cells before the columns: check box and eye. */
const LEAD = 64;

export class Table {
  /**
   * @param {import("./source.js").Source} source
   * @param {Wishes} wishes
   * @param {import("./scope.js").Scope} scope
   */
  constructor(source, wishes, scope) {
    this.source = source;
    this.wishes = wishes;
    /** @type {Column[]} */
    this.columns = [];
    /** @type {Set<string>} */
    this.pinned = new Set();
    /** @type {Set<string>} */
    this.ticked = new Set();
    /** @type {Set<string>} */
    this.hidden = new Set();
    /** @type {Map<string, string>} */
    this.colours = new Map();
    /** @type {Record<string, number>} */
    this.widths = readWidths();
    /** The line that the keys are at. */
    this.active = 0;
    /** Whether the focus goes there as soon as that line has come. */
    this.awaited = false;

    this.all = element("input", { type: "checkbox", "aria-label": "Tick all", onchange: () => wishes.tickAll() });
    this.heads = element("tr");
    this.above = element("tbody", { "aria-hidden": "true" }, element("tr", {}, element("td")));
    this.rows = element("tbody", {
      onkeydown: (/** @type {KeyboardEvent} */ event) => this.press(event),
      onclick: (/** @type {MouseEvent} */ event) => this.click(event),
      onfocusin: (/** @type {FocusEvent} */ event) => this.focused(event),
    });
    this.below = element("tbody", { "aria-hidden": "true" }, element("tr", {}, element("td")));
    this.table = element("table", { class: "runs" },
      element("caption", { class: "unseen" }, "Runs"),
      element("thead", {}, this.heads), this.above, this.rows, this.below);
    this.element = element("div", { class: "card scroller", tabIndex: -1 }, this.table);
    scope.listen(this.element, "scroll", () => this.scrolled(), { passive: true });
    const size = new ResizeObserver(() => this.scrolled());
    size.observe(this.element);
    scope.ending(() => size.disconnect());
    scope.every(1_000, () => this.tick());
    this.frame = 0;
    scope.ending(() => cancelAnimationFrame(this.frame));
  }

  /** The lines on screen, with a margin: [first, end]. */
  range() {
    const first = Math.floor(this.element.scrollTop / ROW) - MARGIN;
    const count = Math.ceil((this.element.clientHeight || 600) / ROW) + 2 * MARGIN;
    const end = Math.min(this.source.known ? this.source.length : count, Math.max(0, first) + count);
    return /** @type {[number, number]} */ ([Math.max(0, Math.min(first, end - 1)), end]);
  }

  scrolled() {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => {
      this.draw();
      this.wishes.look();
    });
  }

  /**
   * Wear other columns.
   *
   * @param {Column[]} columns those that are pinned first
   * @param {Set<string>} pinned ids
   * @param {{ id: string, desc: boolean } | undefined} sorting
   */
  wear(columns, pinned, sorting) {
    const same = columns.length === this.columns.length
      && columns.every(({ id }, i) => id === this.columns[i].id && pinned.has(id) === this.pinned.has(id));
    if (!same) {
      this.columns = columns;
      this.pinned = new Set(pinned);
      this.heads.replaceChildren(
        element("th", { class: "lead pinned", scope: "col" }, this.all, element("span", { class: "unseen" }, "Shown")),
        ...columns.map((column) => this.head(column)));
      this.rows.replaceChildren();
      this.place();
    }
    [...this.heads.children].slice(1).forEach((head, i) => {
      if (columns[i].id !== sorting?.id) head.removeAttribute("aria-sort");
      else head.setAttribute("aria-sort", sorting.desc ? "descending" : "ascending");
    });
  }

  /** @param {Column} column */
  head(column) {
    const label = column.sortable
      ? element("button", { type: "button", class: "plain", onclick: () => this.wishes.sort(column) }, column.title)
      : element("span", {}, column.title);
    const edge = element("span", {
      class: "edge", "aria-hidden": "true",
      onpointerdown: (/** @type {PointerEvent} */ event) => this.resize(event, column),
    });
    const head = element("th", { scope: "col", title: column.title, draggable: true }, label, edge);
    head.classList.toggle("figure", Boolean(column.figure));
    head.addEventListener("dragstart", (event) => event.dataTransfer?.setData("text/plain", column.id));
    head.addEventListener("dragover", (event) => event.preventDefault());
    head.addEventListener("drop", (event) => {
      event.preventDefault();
      this.move(event.dataTransfer?.getData("text/plain") ?? "", column.id);
    });
    return head;
  }

  /**
   * @param {string} moved
   * @param {string} before
   */
  move(moved, before) {
    const ids = this.columns.map(({ id }) => id);
    if (moved === before || !ids.includes(moved)) return;
    const forwards = ids.indexOf(moved) < ids.indexOf(before);
    ids.splice(ids.indexOf(moved), 1);
    ids.splice(ids.indexOf(before) + (forwards ? 1 : 0), 0, moved);
    this.wishes.order(ids);
  }

  /**
   * @param {PointerEvent} event
   * @param {Column} column
   */
  resize(event, column) {
    event.preventDefault();
    const edge = /** @type {HTMLElement} */ (event.currentTarget);
    const start = this.width(column) - event.clientX;
    edge.setPointerCapture(event.pointerId);
    edge.onpointermove = (/** @type {PointerEvent} */ moved) => {
      this.widths[column.id] = Math.max(WIDTH_MIN, Math.round(start + moved.clientX));
      this.place();
    };
    edge.onpointerup = () => {
      edge.onpointermove = null;
      localStorage.setItem(WIDTHS, JSON.stringify(this.widths));
    };
  }

  /** @param {Column} column */
  width(column) {
    return this.widths[column.id] ?? column.width;
  }

  /** Give each column its width, and those that are pinned their place. */
  place() {
    let left = LEAD;
    const heads = /** @type {HTMLElement[]} */ ([...this.heads.children].slice(1));
    this.columns.forEach((column, i) => {
      const head = heads[i];
      head.style.width = `${this.width(column)}px`;
      head.classList.toggle("pinned", this.pinned.has(column.id));
      if (this.pinned.has(column.id)) {
        this.table.style.setProperty(`--left-${i}`, `${left}px`);
        head.style.left = `var(--left-${i})`;
        left += this.width(column);
      } else {
        head.style.left = "";
      }
    });
    this.table.style.width = `${LEAD + this.columns.reduce((sum, column) => sum + this.width(column), 0)}px`;
  }

  /** Draw the rows on screen. */
  draw() {
    const [first, end] = this.range();
    /** @type {{ index: number, line: Line | undefined }[]} */
    const shown = [];
    for (let index = first; index < end; index++) {
      const line = this.source.at(index);
      shown.push({ index, line });
    }
    spread(this.above, first * ROW);
    spread(this.below, Math.max(0, this.source.length - end) * ROW);
    this.table.setAttribute("aria-rowcount", String(this.source.length + 1));
    keep(this.rows, shown, ({ index, line }) => (line ? line.key : `none ${index}`),
      ({ line }) => this.make(line), (row, { index, line }) => this.fill(row, index, line));
    if (this.awaited) this.focus();
    const ticked = shown.filter(({ line }) => line?.kind === "run" && this.ticked.has(line.run.id)).length;
    this.all.checked = ticked > 0 && ticked === shown.filter(({ line }) => line?.kind === "run").length;
    this.all.indeterminate = this.ticked.size > 0 && !this.all.checked;
  }

  /**
   * @param {Line | undefined} line
   * @returns {Row}
   */
  make(line) {
    /** @type {Row} */
    const row = element("tr");
    if (line?.kind === "group") {
      row.className = "group";
      row.append(element("td", { colSpan: this.columns.length + 1 },
        element("button", { type: "button", class: "plain" }, element("span", { dir: "auto" }), element("small"))));
    } else if (line) {
      row.append(
        element("td", { class: "lead pinned" },
          element("input", { type: "checkbox", "aria-label": `Tick ${line.run.name}` }),
          element("button", { type: "button", class: "plain eye" }, "◉")),
        ...this.columns.map((column, i) => {
          const cell = element(column.id === "name" ? "th" : "td", column.id === "name" ? { scope: "row" } : {});
          if (column.figure) cell.classList.add("figure");
          if (this.pinned.has(column.id)) {
            cell.classList.add("pinned");
            cell.style.left = `var(--left-${i})`;
          }
          cell.dataset.column = column.id;
          return cell;
        }));
    } else {
      row.append(element("td", { colSpan: this.columns.length + 1, class: "none" }, "…"));
    }
    return row;
  }

  /**
   * @param {Row} row
   * @param {number} index
   * @param {Line | undefined} line
   */
  fill(row, index, line) {
    row.index = index;
    row.setAttribute("aria-rowindex", String(index + 2));
    if (line?.kind === "group") {
      const button = /** @type {HTMLElement} */ (row.querySelector("button"));
      button.setAttribute("aria-expanded", String(line.open));
      write(/** @type {Element} */ (button.firstElementChild), line.value || "none");
      write(/** @type {Element} */ (button.lastElementChild), integer(line.count));
    } else if (line) {
      const { run } = line;
      const [lead, ...cells] = /** @type {HTMLElement[]} */ ([...row.children]);
      const ticked = this.ticked.has(run.id);
      const eye = /** @type {HTMLButtonElement} */ (lead.lastElementChild);
      /** @type {HTMLInputElement} */ (lead.firstElementChild).checked = ticked;
      row.classList.toggle("ticked", ticked);
      eye.classList.toggle("unseen", !ticked);
      eye.setAttribute("aria-pressed", String(!this.hidden.has(run.id)));
      eye.setAttribute("aria-label", `Show ${run.name} in charts`);
      eye.title = this.hidden.has(run.id) ? "Not shown in charts" : "Shown in charts";
      const same = row.run === run && row.colours === this.colours;
      this.columns.forEach((column, i) => {
        // A cell in which somebody types is left to them.
        if ((!same || column.ticking) && !cells[i].classList.contains("edited")) column.show(cells[i], run, this.colours);
      });
      row.run = run;
      row.colours = this.colours;
    }
  }

  /** What says "a minute ago" says it anew, and what runs has run longer. */
  tick() {
    if (document.hidden) return;
    for (const row of /** @type {Iterable<Row>} */ (this.rows.children)) {
      const { run } = row;
      if (!run) continue;
      this.columns.forEach((column, i) => {
        if (column.ticking) column.show(/** @type {HTMLElement} */ (row.children[i + 1]), run, this.colours);
      });
    }
  }

  /** @param {MouseEvent} event */
  click(event) {
    const target = /** @type {HTMLElement} */ (event.target);
    const row = /** @type {Row | null} */ (target.closest("tr"));
    if (!row || row.index === undefined) return;
    const line = this.source.at(row.index);
    if (line?.kind === "group") {
      if (target.closest("button")) this.wishes.toggle(line.value);
    } else if (line) {
      if (target instanceof HTMLInputElement && target.type === "checkbox") this.wishes.tick(row.index, event.shiftKey);
      else if (target.closest(".eye")) this.wishes.hide(line.run.id);
      else if (target.closest("[data-column=tags]")) this.wishes.tag(line.run, /** @type {HTMLElement} */ (target.closest("td")));
    }
  }

  /** @param {FocusEvent} event */
  focused(event) {
    const row = /** @type {Row | null} */ (/** @type {Element} */ (event.target).closest("tr"));
    if (row?.index !== undefined) this.active = row.index;
  }

  /** @param {KeyboardEvent} event */
  press(event) {
    const target = /** @type {HTMLElement} */ (event.target);
    if (target.closest("input:not([type=checkbox])") || event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(1, Math.floor(this.element.clientHeight / ROW) - 2);
    /** @type {Record<string, number>} */
    const moves = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    if (event.key in moves) this.goTo(this.active + moves[event.key]);
    else if (event.key === " " && target.closest("a")) this.wishes.tick(this.active, event.shiftKey);
    else return;
    event.preventDefault();
  }

  /**
   * Put the focus on a line, scrolled into sight.
   *
   * @param {number} index
   */
  goTo(index) {
    this.active = Math.max(0, Math.min(index, this.source.length - 1));
    const top = this.active * ROW;
    const room = this.element.clientHeight - 2 * ROW;
    const box = this.element;
    if (top < box.scrollTop) box.scrollTop = top;
    else if (top > box.scrollTop + room) box.scrollTop = top - room;
    this.awaited = true;
    this.draw();
  }

  focus() {
    const rows = /** @type {Row[]} */ ([...this.rows.children]);
    const row = rows.find((found) => found.index === this.active);
    /** @type {HTMLElement | null | undefined} */
    const target = row?.querySelector("a, .group button");
    target?.focus({ preventScroll: true });
    this.awaited = !target;
  }
}

/** @typedef {HTMLTableRowElement & { index?: number, run?: import("./api.js").Run, colours?: Map<string, string> }} Row */

/**
 * @param {HTMLElement} body
 * @param {number} height
 */
function spread(body, height) {
  body.hidden = height === 0;
  /** @type {HTMLElement} */ (body.firstElementChild).style.height = `${height}px`;
}

/** @returns {Record<string, number>} */
function readWidths() {
  try {
    return JSON.parse(localStorage.getItem(WIDTHS) ?? "{}");
  } catch {
    // Somebody's hand was in there; the widths that columns come with are good.
    return {};
  }
}
