/*
 * Runs: the table of runs at /dashboard/runs, with folders on one side and charts on the other.
 *
 * The query: `find` and `regex` (over names), `filter` (repeated), `folder`, `sort` and `order`,
 * `group`, `col` and `pin` (repeated), `runs` (those that are ticked) and `hide` (ticked, and not
 * in charts).
 */

import { PAGE_MAX, Refused, listTags } from "./api.js";
import { PLAIN, column, leaves, needs } from "./columns.js";
import { connect, connectSteps } from "./connect.js";
import { element, fill, write } from "./elements.js";
import { Filters } from "./filters.js";
import { integer, many } from "./format.js";
import { onKey } from "./keys.js";
import { Layout } from "./layout.js";
import { Poll } from "./poll.js";
import { address, idsMember } from "./router.js";
import { HELD_MAX, Source } from "./source.js";
import { Table } from "./table.js";
import { editTags } from "./tagcell.js";
import { TICKED_MAX, Ticks } from "./ticks.js";
import { TREE_KEYS, Tree } from "./tree.js";

/** Milliseconds between looks: a run's birth is seen soon enough, and a page of runs costs little; what is held here costs more. */
const PAUSE = { paged: 1_000, held: 10_000 };

/** Rows of a file: what a spreadsheet opens without complaint and the server gives in seconds. */
const CSV_MAX = 10_000;

/** What every table of runs may be grouped by; any attribute may be typed. */
const GROUPS = ["folder", "status", "tags", "user"];

/**
 * @param {import("./app.js").Page} page
 * @returns {import("./app.js").View}
 */
export function open(page) {
  return new Runs(page);
}

class Runs {
  /** @param {import("./app.js").Page} page */
  constructor(page) {
    this.page = page;
    this.query = new URLSearchParams();
    /** What was asked last, to tell whether it is asked again. */
    this.asked = "";
    /** @type {Poll | null} */
    this.poll = null;
    /** @type {{ scope: import("./scope.js").Scope, view: import("./app.js").View | null } | null} */
    this.charts = null;
    /** @type {Set<string>} names of attributes that some run had */
    this.keys = new Set();
    this.source = new Source();
    this.ticks = new Ticks(this.source, page);
    this.layout = new Layout((choice) => page.go({ col: choice?.columns ?? [], pin: choice?.pinned ?? [] }, true));
    /** @type {Table} */
    this.table = new Table(this.source, {
      sort: (chosen) => this.sort(chosen),
      tick: (index, range) => this.ticks.tick(index, range),
      tickAll: () => this.ticks.tickAll(),
      hide: (run) => this.ticks.hide(run),
      toggle: (value) => { this.source.toggle(value); this.table.draw(); },
      tag: (run, cell) => editTags(run, cell, this.table.colours, page.heard),
      look: () => this.look(),
      order: (columns) => this.layout.wear({ columns, pinned: [...this.table.pinned] }),
    }, page.scope);
    this.tree = new Tree((folder) => this.link({ folder }));
    this.filters = new Filters((filter) => page.go({ filter }), () => [...this.keys]);
    this.find = element("input", {
      type: "search", class: "find", placeholder: "Find by name   /", "aria-label": "Find runs by name",
      oninput: () => page.go({ find: this.find.value }, true),
    });
    this.regex = element("button", {
      type: "button", title: `A regular expression, over the first ${integer(HELD_MAX)} runs that fit the filters`,
      onclick: () => page.go({ regex: this.query.has("regex") ? null : "1" }),
    }, ".*");
    const keys = element("datalist", { id: "group-keys" });
    this.group = element("input", {
      type: "text", class: "short", placeholder: "nothing", autocomplete: "off",
      onfocus: () => fill(keys, ...[...GROUPS, ...this.keys].map((value) => element("option", { value }))),
      onchange: () => page.go({ group: this.group.value.trim() }),
    });
    this.group.setAttribute("list", "group-keys");
    this.total = element("p", { class: "total", role: "status" });
    this.bar = element("div", { class: "tools bulk", role: "toolbar", "aria-label": "Ticked runs", hidden: true });
    this.empty = element("div", { class: "empty card", hidden: true });
    this.slot = element("section", { "aria-label": "Charts of ticked runs", hidden: true });
    this.slot.dataset.slot = "charts";
    const act = (/** @type {string} */ text, /** @type {() => void} */ onclick) => element("button", { type: "button", onclick }, text);
    fill(page.target,
      element("div", { class: "head" }, element("h1", {}, "Runs"), this.total, this.find, this.regex,
        element("label", { class: "group-by" }, "Group by ", this.group, keys),
        act("Columns", () => this.layout.pick(this.source).catch(page.heard)), act("CSV", () => this.save()), act("Connect a simulation", connect)),
      this.filters.element,
      this.bar,
      element("div", { class: "board" }, this.tree.element, this.table.element, this.empty, this.slot));
    page.title("Runs");
    onKey(page.scope, "ArrowDown", "Walk down the table, with ↑ back up; Enter opens a run", () => this.table.goTo(this.table.active));
    onKey(page.scope, " ", "Tick the run, with Shift all since the last one");
    onKey(page.scope, "ArrowRight", TREE_KEYS);
  }

  /** @param {URLSearchParams} query */
  follow(query) {
    this.query = query;
    const find = query.get("find") ?? "";
    if (document.activeElement !== this.find) this.find.value = find;
    if (document.activeElement !== this.group) this.group.value = query.get("group") ?? "";
    this.regex.setAttribute("aria-pressed", String(query.has("regex")));
    this.filters.show(query.getAll("filter"));
    this.filters.complain(null);
    this.tree.choose(query.get("folder"));

    const { columns, pinned } = this.layout.follow(query);
    const worn = [...pinned, ...columns.filter((id) => !pinned.includes(id))];
    const sorting = { id: query.get("sort") ?? "created", desc: (query.get("order") ?? "down") === "down" };
    this.table.wear(worn.flatMap((id) => column(id) ?? []), new Set(pinned), sorting);
    this.ticks.follow(query);
    this.table.ticked = this.ticks.ticked;
    this.table.hidden = this.ticks.hidden;

    const regex = query.has("regex") && find ? this.compile(find) : null;
    const group = query.get("group");
    const wanted = {
      filters: [...query.getAll("filter"), ...this.folderFilter(), ...(find && !query.has("regex") ? [`name contains ${find}`] : [])],
      sorting: [sorting], regex, group, needs: needs([...columns, ...(group ? [group] : [])]),
    };
    const asked = JSON.stringify([wanted, regex?.source]);
    if (asked !== this.asked) {
      const other = this.asked !== "";
      this.asked = asked;
      this.source.ask(wanted);
      if (other) this.table.element.scrollTop = 0;
      this.listen(wanted.needs.metrics);
    }
    this.followCharts().catch(this.page.heard);
    this.draw();
  }

  /**
   * Ask now, and again when there is news: of rows too, where their values are shown.
   *
   * @param {boolean} rows
   */
  listen(rows) {
    if (this.poll && this.rows === rows) {
      this.poll.now();
      return;
    }
    this.rows = rows;
    this.poll?.close();
    this.poll = this.page.scope.own(new Poll((signal) => this.refresh(signal), {
      pause: () => (this.source.holds ? PAUSE.held : PAUSE.paged),
      heard: this.page.heard,
      interest: { topics: rows ? ["run", "rows"] : ["run"] },
    }));
  }

  /** @param {AbortSignal} signal */
  async refresh(signal) {
    const [first, end] = this.table.range();
    try {
      await this.source.load(first, end, signal);
    } catch (error) {
      if (!(error instanceof Refused && error.status === 422)) throw error;
      this.filters.complain(error.message);
      return;
    }
    this.learn();
    this.draw();
    // What stands beside the runs is not waited for.
    this.tree.load().then(() => this.page.scope.closed || this.draw()).catch(this.page.heard);
    listTags().then(({ data }) => this.paint(new Map(data.map(({ name, colour }) => [name, colour])))).catch(this.page.heard);
  }

  /** @param {Map<string, string>} colours of tags */
  paint(colours) {
    const known = this.table.colours;
    if (colours.size === known.size && [...colours].every(([name, colour]) => known.get(name) === colour)) return;
    this.table.colours = colours;
    this.table.draw();
  }

  /** Remember which attributes there are, for those who filter and group. */
  learn() {
    const [first, end] = this.table.range();
    for (let i = first; i < end && this.keys.size < PAGE_MAX; i++) {
      const line = this.source.at(i);
      if (line?.kind !== "run") continue;
      for (const [key] of leaves(line.run.metadata, "metadata")) this.keys.add(key);
      for (const [key] of leaves(line.run.system, "system")) this.keys.add(key);
    }
  }

  draw() {
    const { source, table } = this;
    table.draw();
    const none = source.known && source.length === 0;
    const asks = ["find", "filter", "folder"].some((name) => this.query.has(name));
    table.element.hidden = none;
    this.tree.element.hidden = none && !asks;
    if (none && this.empty.hidden) this.explain(asks);
    this.empty.hidden = !none;
    const runs = many(source.total, "run");
    const part = source.total > HELD_MAX ? `the first ${integer(HELD_MAX)} of ${runs}` : runs;
    const fit = source.question.regex ? `${integer(source.lines.filter(({ kind }) => kind === "run").length)} of ` : "";
    write(this.total, source.known ? `${fit}${source.holds ? part : runs}` : "");
    this.drawBar();
  }

  /** @param {boolean} asks */
  explain(asks) {
    fill(this.empty, ...(asks
      ? [element("p", {}, "No run fits."), element("a", { href: this.link({ find: null, filter: [], folder: null, regex: null }) }, "Show all runs")]
      : [element("h2", {}, "No runs yet"), element("p", {}, "A run is one execution of your simulation. To see the first one here:"), connectSteps()]));
  }

  drawBar() {
    const runs = [...this.table.ticked];
    this.bar.hidden = runs.length === 0;
    if (!runs.length) return;
    const act = (/** @type {string} */ text, /** @type {() => void} */ onclick) => element("button", { type: "button", onclick }, text);
    const done = () => this.poll?.now();
    /** @type {(does: (bulk: typeof import("./bulk.js")) => void) => void} */
    const bulk = (does) => { import("./bulk.js").then(does).catch(this.page.heard); };
    const key = runs.join();
    if (this.bar.dataset.runs === key) return;
    this.bar.dataset.runs = key;
    fill(this.bar,
      element("strong", {}, `${many(runs.length, "run")} ticked${runs.length === TICKED_MAX ? ", as many as an address holds" : ""}`),
      element("a", { class: "button", href: address("/dashboard/compare", { runs: idsMember(runs) }) }, "Compare"),
      act("Tag", () => bulk(({ tagRuns }) => tagRuns(runs, done))),
      act("Move", () => bulk(({ moveRuns }) => moveRuns(runs, done))),
      act("Delete", () => bulk(({ deleteRuns }) => deleteRuns(runs, () => { this.ticks.clear(); done(); }))),
      act("Clear", () => this.ticks.clear()));
  }

  /** Have the charts of ticked runs beside the table, from the first tick to the last. */
  async followCharts() {
    const wanted = this.ticks.ticked.size > 0;
    this.slot.hidden = !wanted;
    if (!wanted) {
      this.charts?.scope.close();
      this.charts = null;
      this.slot.replaceChildren();
      return;
    }
    if (!this.charts) {
      const charts = this.charts = { scope: this.page.scope.inner(), view: null };
      const module = await import("./overlay.js");
      if (charts.scope.closed) return;
      this.charts.view = module.open({ ...this.page, target: this.slot, scope: charts.scope });
    }
    this.charts.view?.follow(this.query);
  }

  // ---- What the reader does --------------------------------------------------------------

  /**
   * The address of this view with some members changed.
   *
   * @param {Record<string, import("./router.js").Member>} changes
   */
  link(changes) {
    const members = Object.fromEntries([...new Set(this.query.keys())].map((name) => [name, this.query.getAll(name)]));
    return address("/dashboard/runs", { ...members, ...changes });
  }

  /** Runs below a folder are in it. */
  folderFilter() {
    const folder = this.query.get("folder");
    return folder ? [`folder.path within ${folder}`] : [];
  }

  /** @param {string} text */
  compile(text) {
    try {
      return new RegExp(text, "iu");
    } catch (error) {
      this.filters.complain(error instanceof Error ? error.message : String(error));
      return null;
    }
  }

  /** @param {import("./columns.js").Column} chosen */
  sort({ id, falling = false }) {
    const now = { id: this.query.get("sort") ?? "created", desc: (this.query.get("order") ?? "down") === "down" };
    const desc = now.id === id ? !now.desc : falling;
    this.page.go({ sort: id, order: desc ? "down" : "up" });
  }

  /** Rows came into sight that are not at hand. */
  look() {
    const [first, end] = this.table.range();
    for (let i = first; i < end; i++) {
      if (this.source.known && !this.source.at(i)) {
        this.poll?.now();
        return;
      }
    }
  }

  async save() {
    const columns = [...(this.table.columns.some(({ id }) => id === "id") ? [] : [column("id")]), ...this.table.columns]
      .flatMap((known) => known ?? []);
    try {
      const { csv, download } = await import("./csv.js");
      const runs = await this.source.runs(CSV_MAX, this.page.scope.signal);
      const rows = [columns.map(({ id, title }) => (PLAIN.includes(id) ? title : id)),
        ...runs.map((run) => columns.map((known) => known.text(run)))];
      download("runs.csv", csv(rows), "text/csv;charset=utf-8");
    } catch (error) {
      if (!this.page.scope.closed) this.page.heard(error);
    }
  }
}
