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
import { element, fill, write } from "./elements.js";
import { many, integer } from "./format.js";
import { onKey } from "./keys.js";
import { Poll } from "./poll.js";
import { address, runAddress } from "./router.js";
import { TREE_KEYS, Tree, parents } from "./tree.js";

/** @typedef {import("./api.js").Folder} Folder */

/** Milliseconds between looks: there may be thousands of folders, and their counts are no pulse. */
const PAUSE = 10_000;

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
    /** The folder and the answer that the details were made of. */
    this.detailed = "";

    this.total = element("p", { class: "total", role: "status" });
    this.find = element("input", {
      type: "search", class: "find", placeholder: "Find a folder   /", "aria-label": "Find folders",
      oninput: () => page.go({ find: this.find.value }, true),
    });
    this.tree = new Tree((path) => address("/dashboard/folders", { path, find: this.query.get("find") }), false);
    this.tree.element.classList.add("folders");
    this.details = element("section", { class: "details", "aria-label": "The folder" });
    fill(page.target, element("div", { class: "head" }, element("h1", {}, "Folders"), this.total, this.find),
      element("div", { class: "beside" }, this.tree.element, this.details));
    page.title("Folders");
    onKey(page.scope, "ArrowRight", TREE_KEYS);
    this.poll = page.scope.own(new Poll((signal) => this.refresh(signal), {
      pause: () => PAUSE, heard: page.heard, interest: { topics: ["run"] },
    }));
  }

  /** @param {URLSearchParams} query */
  follow(query) {
    this.query = query;
    if (document.activeElement !== this.find) this.find.value = query.get("find") ?? "";
    this.tree.choose(this.path, query.get("find") ?? "");
    this.drawDetails();
  }

  get path() {
    return this.query.get("path") ?? "/";
  }

  /** @param {AbortSignal} signal */
  async refresh(signal) {
    /** @type {Folder[]} */
    const found = await listAll("folders", signal);
    this.tree.show(found);
    write(this.total, many(found.length, "folder"));
    this.drawDetails();
  }

  // ---- One folder ------------------------------------------------------------------------------

  /** Make the details anew if the folder or what is known of it is another: an editor that is open stays. */
  drawDetails() {
    const folder = this.tree.folders.get(this.path);
    if (!folder) {
      this.detailed = "";
      fill(this.details, this.tree.folders.size > 0 && element("p", { class: "card empty" }, `There is no folder ${this.path}.`));
      return;
    }
    const made = JSON.stringify([folder, this.tree.totals.get(folder.path)]);
    if (made === this.detailed || this.editing(folder)) return;
    this.detailed = made;
    const total = this.tree.totals.get(folder.path) ?? 0;
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
    const below = this.tree.branches.filter(({ path }) => path.startsWith(`${folder.path}/`)).length;
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
      const { data } = await listRuns({
        filters: [`folder.path within ${folder.path}`], sorting: [{ id: "created", desc: true }], count: RUNS,
        metrics: false, metadata: false, system: false,
      }, this.page.scope.signal);
      fill(list, ...data.map((run) => {
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
