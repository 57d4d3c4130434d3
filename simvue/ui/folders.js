/*
 * Folders: the tree of all folders at /dashboard/folders, and what is known of one of them.
 *
 * The query: `path` (the folder that is shown), `find` (in the paths).
 */

import { forget, listAll, listRuns, listTags, remove, starFolder, update } from "./api.js";
import { colourDot, since, status, tagMark } from "./badge.js";
import { leaves } from "./columns.js";
import { ask, complain } from "./dialog.js";
import { editor } from "./editor.js";
import { element, fill, keep, write } from "./elements.js";
import { many, integer } from "./format.js";
import { Poll } from "./poll.js";
import { address, runAddress } from "./router.js";
import { branches } from "./tree.js";

/** @typedef {import("./api.js").Folder} Folder */

/** Milliseconds between looks: there may be thousands of folders, and their counts are no pulse. */
const PAUSE = 10_000;

/** Pixels of a line of the tree; lists.css has the same number. */
const LINE = 30;
const MARGIN = 10;

/** Runs that are shown of a folder; the table of runs has them all. */
const RUNS = 10;

/**
 * @param {import("./app.js").Page} page
 * @returns {import("./app.js").View}
 */
export function open(page) {
  return new Folders(page);
}

class Folders {
  /** @param {import("./app.js").Page} page */
  constructor(page) {
    this.page = page;
    this.query = new URLSearchParams();
    /** @type {Map<string, Folder>} by path */
    this.folders = new Map();
    /** @type {import("./tree.js").Branch[]} */
    this.branches = [];
    /** @type {Map<string, number>} runs in a folder and all below it */
    this.totals = new Map();
    /** @type {Set<string>} paths whose folders are seen */
    this.opened = new Set(["/"]);
    /** @type {import("./tree.js").Branch[]} */
    this.lines = [];
    /** The folder and the answer that the details were made of. */
    this.detailed = "";
    this.frame = 0;

    this.total = element("p", { class: "total", role: "status" });
    this.find = element("input", {
      type: "search", class: "find", placeholder: "Find a folder   /", "aria-label": "Find folders",
      oninput: () => page.go({ find: this.find.value }, true),
    });
    this.list = element("ul");
    this.canvas = element("div", { class: "lines" }, this.list);
    this.tree = element("nav", { class: "card folders", "aria-label": "Folders" }, this.canvas);
    this.details = element("section", { class: "details", "aria-label": "The folder" });
    fill(page.target, element("div", { class: "head" }, element("h1", {}, "Folders"), this.total, this.find),
      element("div", { class: "beside" }, this.tree, this.details));
    page.title("Folders");
    page.scope.listen(this.tree, "scroll", () => this.scrolled(), { passive: true });
    page.scope.ending(() => cancelAnimationFrame(this.frame));
    this.poll = page.scope.own(new Poll((signal) => this.refresh(signal), {
      pause: () => PAUSE, heard: page.heard, interest: { topics: ["run"] },
    }));
  }

  /** @param {URLSearchParams} query */
  follow(query) {
    this.query = query;
    if (document.activeElement !== this.find) this.find.value = query.get("find") ?? "";
    for (const above of parents(this.path)) this.opened.add(above);
    this.draw();
  }

  get path() {
    return this.query.get("path") ?? "/";
  }

  /** @param {AbortSignal} signal */
  async refresh(signal) {
    /** @type {Folder[]} */
    const found = await listAll("folders", signal);
    this.folders = new Map(found.map((folder) => [folder.path, folder]));
    this.branches = branches(found);
    this.totals = new Map();
    for (const { path, runs } of found) {
      for (const above of runs ? [...parents(path), path] : []) {
        this.totals.set(above, (this.totals.get(above) ?? 0) + runs);
      }
    }
    write(this.total, many(found.length, "folder"));
    this.draw();
  }

  draw() {
    const find = (this.query.get("find") ?? "").toLowerCase();
    const root = { path: "/", name: "/", depth: 0, runs: 0, inner: this.branches.length > 0 };
    this.lines = [root, ...this.branches].filter(({ path }) => (find
      ? path.toLowerCase().includes(find)
      : parents(path).every((above) => this.opened.has(above))));
    this.drawLines();
    this.drawDetails();
  }

  // ---- The tree --------------------------------------------------------------------------------

  scrolled() {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => this.drawLines());
  }

  /** Draw the lines on screen; a margin stands for those above them. */
  drawLines() {
    const first = Math.max(0, Math.floor(this.tree.scrollTop / LINE) - MARGIN);
    const end = first + Math.ceil((this.tree.clientHeight || 800) / LINE) + 2 * MARGIN;
    this.canvas.style.height = `${this.lines.length * LINE}px`;
    this.list.style.transform = `translateY(${first * LINE}px)`;
    keep(this.list, this.lines.slice(first, end), ({ path }) => path, (line) => this.line(line), (item, line) => {
      const [turn, link] = /** @type {HTMLElement[]} */ ([...item.children]);
      const open = this.opened.has(line.path);
      turn.classList.toggle("hollow", !line.inner || this.query.has("find"));
      turn.setAttribute("aria-expanded", String(open));
      turn.setAttribute("aria-label", `${open ? "Close" : "Open"} ${line.path}`);
      write(turn, open ? "▾" : "▸");
      if (line.path === this.path) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
      const [star, , count] = link.children;
      write(star, this.folders.get(line.path)?.starred ? "★ " : "");
      const total = this.totals.get(line.path);
      write(count, total ? integer(total) : "");
      /** @type {HTMLAnchorElement} */ (link).href = address("/dashboard/folders", { path: line.path, find: this.query.get("find") });
    });
  }

  /** @param {import("./tree.js").Branch} line */
  line(line) {
    const turn = element("button", {
      type: "button", class: "plain turn",
      onclick: () => {
        if (!this.opened.delete(line.path)) this.opened.add(line.path);
        this.draw();
      },
    });
    const item = element("li", {}, turn, element("a", { title: line.path },
      element("span", { class: "star" }), element("bdi", {}, this.query.has("find") ? line.path : line.name), element("small")));
    item.style.paddingLeft = `${(this.query.has("find") ? 0 : line.path === "/" ? 0 : line.depth + 1) * 14}px`;
    return item;
  }

  // ---- One folder ------------------------------------------------------------------------------

  /** Make the details anew if the folder or what is known of it is another: an editor that is open stays. */
  drawDetails() {
    const folder = this.folders.get(this.path);
    if (!folder) {
      this.detailed = "";
      fill(this.details, this.folders.size > 0 && element("p", { class: "card empty" }, `There is no folder ${this.path}.`));
      return;
    }
    const made = JSON.stringify([folder, this.totals.get(folder.path)]);
    if (made === this.detailed || this.editing(folder)) return;
    this.detailed = made;
    const total = this.totals.get(folder.path) ?? 0;
    const created = element("time");
    since(created, folder.created);
    const newest = element("ul", { class: "plainlist" });
    fill(this.details,
      element("div", { class: "card part" },
        element("div", { class: "headline" }, element("h2", { dir: "auto" }, folder.path), this.star(folder), this.trash(folder, total)),
        editor({
          label: "Description", value: folder.description ?? "", empty: "Add a description", long: true,
          save: (description) => this.save(folder, { description }),
        }),
        element("dl", {},
          fact("Runs", element("a", { href: address("/dashboard/runs", { folder: folder.path }) },
            total === folder.runs ? many(total, "run") : `${many(total, "run")}, ${integer(folder.runs)} here and the rest below`)),
          fact("Created", created),
          folder.ttl ? fact("Kept for", `${integer(folder.ttl)} s`) : null)),
      element("div", { class: "card part" }, element("h2", {}, "Tags"), this.tags(folder)),
      element("div", { class: "card part" }, element("h2", {}, "Metadata"), this.metadata(folder)),
      element("div", { class: "card part" }, element("h2", {}, "Newest runs here and below"), newest));
    if (total) this.newest(folder, newest);
    else fill(newest, element("li", { class: "total" }, "None yet."));
  }

  /**
   * Tell whether the reader is typing into the details of *folder*.
   *
   * @param {Folder} folder
   */
  editing(folder) {
    const focused = document.activeElement;
    return this.detailed.includes(folder.id) && this.details.contains(focused)
      && (focused instanceof HTMLInputElement || focused instanceof HTMLTextAreaElement);
  }

  /**
   * @param {Folder} folder
   * @param {Record<string, unknown>} changes
   */
  async save(folder, changes) {
    await update("folders", folder.id, changes);
    await this.poll.now();
  }

  /** @param {Folder} folder */
  star(folder) {
    return element("button", {
      type: "button", "aria-pressed": String(folder.starred),
      onclick: () => starFolder(folder.id, !folder.starred).then(() => this.poll.now()).catch(complain),
    }, folder.starred ? "★ Starred" : "☆ Star");
  }

  /**
   * @param {Folder} folder
   * @param {number} total
   */
  trash(folder, total) {
    if (folder.path === "/") return null;
    const below = this.branches.filter(({ path }) => path.startsWith(`${folder.path}/`)).length;
    return element("button", {
      type: "button",
      onclick: () => ask("Delete a folder", {
        content: [element("p", {}, `This deletes ${folder.path}, ${many(below, "folder")} below it and ${many(total, "run")} with all that they logged. It cannot be undone.`)],
        verb: "Delete", dangerous: true, typed: folder.path,
        act: async () => {
          await remove("folders", folder.id, { recursive: "True", runs: "True" });
          forget("folders");
          this.page.go({ path: parents(folder.path).at(-1) ?? null });
          this.poll.now();
        },
      }),
    }, "Delete …");
  }

  /** @param {Folder} folder */
  tags(folder) {
    const field = element("input", {
      type: "text", class: "short", placeholder: "Add a tag", "aria-label": "Add a tag", autocomplete: "off",
      onkeydown: (/** @type {KeyboardEvent} */ event) => {
        const tag = field.value.trim();
        if (event.key !== "Enter" || !tag) return;
        field.value = "";
        field.blur();
        if (!folder.tags.includes(tag)) set([...folder.tags, tag]);
      },
    });
    const set = (/** @type {string[]} */ tags) => this.save(folder, { tags }).then(() => forget("tags")).catch(complain);
    const marks = element("span");
    const draw = (/** @type {Map<string, string>} */ colours) => fill(marks, ...folder.tags.map((tag) => element("button", {
      type: "button", class: "plain", "aria-label": `Remove the tag ${tag}`, title: "Remove",
      onclick: () => set(folder.tags.filter((known) => known !== tag)),
    }, tagMark(tag, colours.get(tag)))));
    draw(new Map());
    listTags().then(({ data }) => draw(new Map(data.map(({ name, colour }) => [name, colour])))).catch(this.page.heard);
    return element("p", {}, marks, field);
  }

  /** @param {Folder} folder */
  metadata(folder) {
    const key = element("input", { type: "text", class: "short", placeholder: "key", "aria-label": "Key to add", autocomplete: "off" });
    const value = element("input", { type: "text", class: "short", placeholder: "value", "aria-label": "Value to add", autocomplete: "off" });
    const form = element("form", { class: "adding" }, key, value, element("button", {}, "Add"));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const name = key.value.trim();
      if (!name) return;
      value.blur();
      this.save(folder, { metadata: { [name]: read(value.value) } }).catch(complain);
      form.reset();
    });
    return element("div", {}, element("dl", { class: "pairs" }, ...leaves(folder.metadata).map(([name, found]) => {
      // Only what stands on top is changed by its name alone.
      const shown = typeof found === "string" ? found : JSON.stringify(found);
      return fact(name, Object.hasOwn(folder.metadata, name)
        ? editor({ label: name, value: shown, save: (text) => this.save(folder, { metadata: { [name]: read(text) } }) })
        : element("bdi", {}, shown));
    })), form);
  }

  /**
   * @param {Folder} folder
   * @param {Element} list
   */
  async newest(folder, list) {
    const below = folder.path === "/" ? "/" : `${folder.path}/`;
    try {
      const pages = await Promise.all([`== ${folder.path}`, `contains ${below}`].map((which) => listRuns({
        filters: [`folder.path ${which}`], sorting: [{ id: "created", desc: true }], count: RUNS,
        metrics: false, metadata: false, system: false,
      }, this.page.scope.signal)));
      // Another folder may have such a path within its own, and the root is below itself.
      const found = new Map(pages.flatMap(({ data }) => data).filter((run) => `${run.folder}/`.startsWith(below)).map((run) => [run.id, run]));
      const newest = [...found.values()].sort((a, b) => (a.created ?? "") < (b.created ?? "") ? 1 : -1).slice(0, RUNS);
      fill(list, ...newest.map((run) => {
        const mark = element("span");
        status(mark, run);
        return element("li", {}, element("a", { href: runAddress(run.id) }, colourDot(run), " ", element("bdi", {}, run.name)),
          run.folder !== folder.path && element("small", { dir: "auto" }, run.folder.slice(below.length)), mark);
      }));
    } catch (error) {
      if (!this.page.scope.closed) this.page.heard(error);
    }
  }
}

/**
 * The paths of the folders that *path* lies in, the outermost first.
 *
 * @param {string} path
 * @returns {string[]}
 */
function parents(path) {
  if (path === "/") return [];
  const parts = path.split("/").slice(1, -1);
  return ["/", ...parts.map((_, i) => `/${parts.slice(0, i + 1).join("/")}`)];
}

/**
 * Read what was typed as a value of metadata: JSON if it is that, else a text.
 *
 * @param {string} text
 */
function read(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/**
 * @param {string} name
 * @param {Node | string} value
 */
function fact(name, value) {
  return element("div", {}, element("dt", { dir: "auto" }, name), element("dd", {}, value));
}
