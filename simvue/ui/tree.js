/* Tree: the folders beside the table of runs; each a link that narrows the table to it. */

import { listFolders } from "./api.js";
import { element, fill, keep, write } from "./elements.js";
import { integer } from "./format.js";

/** @typedef {{ path: string, name: string, depth: number, runs: number, inner: boolean }} Branch */

/** What the folders that are closed are kept under, in this browser. */
const SHUT = "simvue.folders.shut";

export class Tree {
  /** @param {(path: string | null) => string} link the address with a folder, or with none */
  constructor(link) {
    this.link = link;
    /** @type {Branch[]} */
    this.branches = [];
    /** @type {string | null} */
    this.chosen = null;
    /** @type {Set<string>} */
    this.shut = new Set((localStorage.getItem(SHUT) ?? "").split("\n").filter(Boolean));
    this.list = element("ul");
    this.element = element("nav", { class: "tree card", "aria-label": "Folders" }, this.list);
  }

  /** Ask for the folders, and draw them. */
  async load() {
    const { data } = await listFolders();
    this.branches = branches(data);
    this.draw();
  }

  /** @param {string | null} path */
  choose(path) {
    this.chosen = path;
    this.draw();
  }

  /**
   * Tell whether runs may lie in folders below *path*.
   *
   * @param {string} path
   */
  hasInner(path) {
    return this.branches.find((branch) => branch.path === path)?.inner ?? true;
  }

  draw() {
    const shown = this.branches.filter(({ path }) => !this.under(path));
    keep(this.list, [null, ...shown], (branch) => branch?.path ?? "", (branch) => this.make(branch),
      (item, branch) => this.update(item, branch));
  }

  /**
   * Tell whether a folder lies below one that is closed.
   *
   * @param {string} path
   */
  under(path) {
    return [...this.shut].some((shut) => path.startsWith(`${shut}/`));
  }

  /** @param {Branch | null} branch */
  make(branch) {
    const link = element("a", { dir: "auto" });
    const item = element("li", {}, link);
    if (!branch) {
      fill(link, "All folders");
      return item;
    }
    item.style.paddingLeft = `${branch.depth * 14}px`;
    const turn = element("button", {
      type: "button", class: "plain turn", onclick: () => this.turn(branch.path),
    });
    item.prepend(turn);
    fill(link, element("span", {}, branch.name), " ", element("small"));
    link.title = branch.path;
    return item;
  }

  /**
   * @param {HTMLElement} item
   * @param {Branch | null} branch
   */
  update(item, branch) {
    const link = /** @type {HTMLAnchorElement} */ (item.querySelector("a"));
    link.href = this.link(branch?.path ?? null);
    if ((branch?.path ?? null) === this.chosen) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
    if (!branch) return;
    write(/** @type {Element} */ (link.lastElementChild), branch.runs ? integer(branch.runs) : "");
    const turn = /** @type {HTMLElement} */ (item.firstElementChild);
    const open = !this.shut.has(branch.path);
    turn.classList.toggle("hollow", !branch.inner);
    turn.setAttribute("aria-expanded", String(open));
    turn.setAttribute("aria-label", `${open ? "Close" : "Open"} ${branch.path}`);
    write(turn, open ? "▾" : "▸");
  }

  /** @param {string} path */
  turn(path) {
    if (!this.shut.delete(path)) this.shut.add(path);
    localStorage.setItem(SHUT, [...this.shut].join("\n"));
    this.draw();
  }
}

/**
 * Arrange folders as a tree: every folder once, after the one that it lies in.
 *
 * @param {{ path: string, runs: number }[]} folders
 * @returns {Branch[]}
 */
export function branches(folders) {
  const parts = (/** @type {string} */ path) => path.split("/").slice(1);
  const sorted = folders.filter(({ path }) => path !== "/").sort((a, b) => {
    const [one, other] = [parts(a.path), parts(b.path)];
    const i = one.findIndex((part, at) => part !== other[at]);
    if (i < 0) return one.length - other.length;
    return other[i] === undefined ? 1 : one[i].localeCompare(other[i], "en", { numeric: true });
  });
  return sorted.map(({ path, runs }, i) => ({
    path, runs,
    name: path.slice(path.lastIndexOf("/") + 1),
    depth: parts(path).length - 1,
    inner: Boolean(sorted[i + 1]?.path.startsWith(`${path}/`)),
  }));
}
