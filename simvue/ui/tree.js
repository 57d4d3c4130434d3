/*
 * Tree: folders as a tree, each a link; only those on screen are elements.
 *
 * The keys are those of every tree: up and down walk it, right opens a folder or goes into it,
 * left closes it or goes out, Enter follows the link.
 */

import { listFolders } from "./api.js";
import { element, keep, write } from "./elements.js";
import { integer } from "./format.js";

/**
 * @typedef {import("./api.js").Folder} Folder
 * @typedef {{ path: string, name: string, depth: number, inner: boolean }} Branch a folder; whether others lie in it
 */

/** What the keys do, for the overlay. */
export const TREE_KEYS = "Open a folder of the tree, or go into it; ← closes it, or goes out";

/** Pixels of a line; style.css has the same number. */
const LINE = 28;

/** Lines drawn beyond each edge, so that a small step shows no gap. */
const MARGIN = 10;

export class Tree {
  /**
   * @param {(path: string | null) => string} link the address with a folder, or with none
   * @param {boolean} open whether a folder is open until somebody closes it
   */
  constructor(link, open = true) {
    this.link = link;
    this.open = open;
    /** What the folders that were turned are kept under, in this browser. */
    this.memory = `simvue.folders.${open ? "shut" : "open"}`;
    /** @type {Set<string>} */
    this.turned = new Set((localStorage.getItem(this.memory) ?? "").split("\n").filter(Boolean));
    /** @type {Folder[]} as they came last */
    this.found = [];
    /** @type {Map<string, Folder>} by path */
    this.folders = new Map();
    /** @type {Branch[]} */
    this.branches = [];
    /** @type {Map<string, number>} runs in a folder and all below it */
    this.totals = new Map();
    /** @type {Branch[]} those that are seen, on screen or not */
    this.lines = [];
    /** @type {string | null} */
    this.chosen = null;
    this.find = "";
    /** The line that the keys are at. */
    this.active = "";
    /** Whether the chosen folder comes into sight as soon as it is there. */
    this.awaited = false;
    this.list = element("div", {
      role: "tree", "aria-label": "Folders",
      onkeydown: (/** @type {KeyboardEvent} */ event) => this.press(event),
      onclick: (/** @type {MouseEvent} */ event) => this.click(event),
      onfocusin: (/** @type {FocusEvent} */ event) => {
        this.active = /** @type {HTMLElement} */ (event.target).title;
        this.drawLines();
      },
    });
    this.element = element("nav", { class: "tree card", "aria-label": "Folders", onscroll: () => this.drawLines() }, this.list);
  }

  /** Ask for the folders, and draw them. */
  async load() {
    const found = await listFolders();
    if (found !== this.found) this.show(found);
  }

  /** @param {Folder[]} folders */
  show(folders) {
    this.found = folders;
    this.folders = new Map(folders.map((folder) => [folder.path, folder]));
    this.branches = branches([...this.folders.keys()]);
    this.totals = new Map();
    for (const { path, runs } of this.folders.values()) {
      for (const above of runs ? [...parents(path), path] : []) {
        this.totals.set(above, (this.totals.get(above) ?? 0) + runs);
      }
    }
    this.draw();
  }

  /**
   * Mark the folder that is looked at, null for all, and see to it that it is seen; with *find*, only those
   * with this in their path are.
   *
   * @param {string | null} path
   * @param {string} [find]
   */
  choose(path, find = "") {
    if (path && path !== this.chosen) {
      for (const above of parents(path)) if (!this.opened(above)) this.turn(above);
      this.awaited = true;
    }
    this.chosen = path;
    this.find = find.toLowerCase();
    this.draw();
  }

  /** @param {string} path */
  opened(path) {
    return this.turned.has(path) !== this.open;
  }

  /** @param {string} path */
  turn(path) {
    if (!this.turned.delete(path)) this.turned.add(path);
    localStorage.setItem(this.memory, [...this.turned].join("\n"));
    this.draw();
  }

  draw() {
    // What is deeper lies in a folder that is closed.
    let deepest = Infinity;
    this.lines = this.find
      ? this.branches.filter(({ path }) => path.toLowerCase().includes(this.find))
        .map(({ path }) => ({ path, name: path, depth: 0, inner: false }))
      : [{ path: "/", name: "All folders", depth: 0, inner: false }, ...this.branches.filter(({ path, depth }) => {
        if (depth > deepest) return false;
        deepest = this.opened(path) ? Infinity : depth;
        return true;
      })];
    this.drawLines();
    const at = this.awaited ? this.lines.findIndex(({ path }) => path === this.chosen) : -1;
    if (at < 0) return;
    this.awaited = false;
    this.see(at);
  }

  /** Draw the lines on screen; the list's padding stands for all others. */
  drawLines() {
    const count = Math.ceil(innerHeight / LINE) + 2 * MARGIN;
    const above = Math.min(Math.floor(this.element.scrollTop / LINE) - MARGIN, this.lines.length - count);
    const first = Math.max(0, above);
    const shown = this.lines.slice(first, first + count);
    this.list.style.padding = `${first * LINE}px 0 ${(this.lines.length - first - shown.length) * LINE}px`;
    // The tab key comes to one of them: the arrows walk on from there.
    const stop = [this.active, this.chosen].find((path) => shown.some((line) => line.path === path)) ?? shown[0]?.path;
    keep(this.list, shown, ({ path, name }) => `${path} ${name}`, (line) => this.make(line), (item, { path, inner }) => {
      const [turn, star, , count] = item.children;
      const open = this.opened(path);
      item.href = this.link(path === "/" ? null : path);
      item.tabIndex = path === stop ? 0 : -1;
      item.ariaCurrent = path === (this.chosen ?? "/") ? "true" : null;
      item.ariaExpanded = inner ? String(open) : null;
      write(turn, inner ? (open ? "▾" : "▸") : "");
      write(star, this.folders.get(path)?.starred ? "★" : "");
      const total = this.totals.get(path);
      write(count, total ? integer(total) : "");
    });
  }

  /** @param {Branch} line */
  make({ path, name, depth }) {
    const item = element("a", { role: "treeitem", "aria-level": depth + 1, title: path },
      element("span", { class: "turn", "aria-hidden": "true" }), element("span", { class: "star" }),
      element("bdi", {}, name), element("small"));
    item.style.paddingLeft = `${depth * 14}px`;
    return item;
  }

  /** @param {MouseEvent} event */
  click(event) {
    const turn = /** @type {HTMLElement} */ (event.target);
    if (!turn.matches("[aria-expanded] > .turn")) return;
    event.preventDefault();
    this.turn(/** @type {HTMLElement} */ (turn.parentElement).title);
  }

  /** @param {KeyboardEvent} event */
  press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { lines } = this;
    const at = lines.findIndex(({ path }) => path === this.active);
    const { path, depth, inner } = lines[at];
    const open = inner && this.opened(path);
    /** @type {Record<string, number>} */
    const places = {
      ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: lines.length - 1,
      ArrowRight: open ? at + 1 : at,
      ArrowLeft: open ? at : lines.slice(0, at).map((line) => line.depth < depth).lastIndexOf(true),
    };
    if (!(event.key in places)) return;
    event.preventDefault();
    if (event.key === "ArrowRight" ? inner && !open : event.key === "ArrowLeft" && open) this.turn(path);
    this.goTo(Math.max(0, Math.min(places[event.key], lines.length - 1)));
  }

  /**
   * Put the focus on a line.
   *
   * @param {number} index
   */
  goTo(index) {
    this.active = this.lines[index].path;
    this.see(index);
    /** @type {HTMLElement} */ (this.list.querySelector("[tabindex='0']")).focus({ preventScroll: true });
  }

  /** @param {number} index */
  see(index) {
    const top = index * LINE;
    this.element.scrollTop = Math.min(top, Math.max(this.element.scrollTop, top + 2 * LINE - this.element.clientHeight));
    this.drawLines();
  }
}

/**
 * The paths of the folders that *path* lies in, the outermost first.
 *
 * @param {string} path
 * @returns {string[]}
 */
export function parents(path) {
  if (path === "/") return [];
  const parts = path.split("/").slice(1, -1);
  return ["/", ...parts.map((_, i) => `/${parts.slice(0, i + 1).join("/")}`)];
}

/**
 * Arrange folders as a tree: each after the one that it lies in.
 *
 * @param {string[]} paths
 * @returns {Branch[]}
 */
function branches(paths) {
  const sorted = paths.filter((path) => path !== "/").map((path) => path.split("/").slice(1)).sort((one, other) => {
    const i = one.findIndex((part, at) => part !== other[at]);
    if (i < 0) return one.length - other.length;
    return other[i] === undefined ? 1 : one[i].localeCompare(other[i], "en", { numeric: true });
  });
  return sorted.map((parts, i) => ({
    path: `/${parts.join("/")}`,
    name: parts[parts.length - 1],
    depth: parts.length - 1,
    inner: parts.every((part, at) => sorted[i + 1]?.[at] === part),
  }));
}
