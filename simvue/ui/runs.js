/* Runs: the table of runs, newest first, at /dashboard/runs. */

import { listRuns } from "./api.js";
import { colourDot, since, span, status, tags } from "./badge.js";
import { element, keep, write } from "./elements.js";
import { many } from "./format.js";
import { Poll } from "./poll.js";

/** Runs on a page: about two screens, and below the 100 that a server gives at once. */
const PAGE = 50;

/** Milliseconds between refreshes: a run's birth is seen soon enough, a table costs little. */
const REFRESH = 2_000;

/** Milliseconds between steps of the durations that are live. */
const TICK = 1_000;

const COLUMNS = [
  { title: "Status" },
  { title: "Name", sort: "name" },
  { title: "Folder" },
  { title: "Tags" },
  { title: "Created", sort: "created" },
  { title: "Duration" },
];

const FIRST_STEPS = `from simvue import Run

with Run() as run:
    run.init(name="my-first-run")
    for step in range(1000):
        run.log_metrics({"loss": 1 / (step + 1)}, step=step)`;

/** Show the table in *view*; *go(changes)* changes the URL's query, *heard(error)* says how asking went. */
export class Runs {
  constructor(view, { go, heard }) {
    document.title = "Runs – Simvue";
    this.go = go;
    this.find = element("input", {
      type: "search", placeholder: "Find by name", "aria-label": "Find runs by name", class: "find",
      oninput: () => go({ find: this.find.value || null, page: null }, true),
    });
    this.total = element("p", { class: "total", role: "status" });
    this.headings = COLUMNS.map((column) => this.heading(column));
    this.rows = element("tbody", { onkeydown: (event) => walk(event) });
    this.table = element("table", { class: "runs card" },
      element("caption", { class: "unseen" }, "Runs"),
      element("thead", {}, element("tr", {}, ...this.headings)), this.rows);
    this.empty = element("div", { class: "empty card", hidden: true });
    this.newer = element("button", { type: "button", onclick: () => this.turn(-1) }, "Newer");
    this.older = element("button", { type: "button", onclick: () => this.turn(1) }, "Older");
    this.pages = element("nav", { class: "pages", "aria-label": "Pages of runs", hidden: true },
      this.newer, this.older);
    view.replaceChildren(
      element("div", { class: "head" }, element("h1", {}, "Runs"), this.total, this.find),
      this.table, this.empty, this.pages);
    this.query = {};
    this.poll = null;
    this.heard = heard;
    this.tick = setInterval(() => this.age(), TICK);
  }

  heading({ title, sort }) {
    if (!sort) return element("th", { scope: "col" }, title);
    const button = element("button", {
      type: "button", class: "plain", onclick: () => this.sortBy(sort),
    }, title);
    return element("th", { scope: "col" }, button);
  }

  /** Follow the URL's query. */
  follow(query) {
    const sort = query.get("sort") === "name" ? "name" : "created";
    this.query = {
      find: query.get("find") ?? "",
      sort,
      descending: (query.get("order") ?? (sort === "created" ? "down" : "up")) === "down",
      page: Math.max(0, Number.parseInt(query.get("page") ?? "0", 10) || 0),
    };
    if (document.activeElement !== this.find) this.find.value = this.query.find;
    COLUMNS.forEach((column, i) => {
      if (column.sort !== sort) this.headings[i].removeAttribute("aria-sort");
      else this.headings[i].setAttribute("aria-sort", this.query.descending ? "descending" : "ascending");
    });
    if (this.poll) this.poll.now();
    else this.poll = new Poll((signal) => this.refresh(signal), () => REFRESH, this.heard);
  }

  sortBy(sort) {
    const natural = sort === "created" ? "down" : "up";
    const turned = this.query.sort === sort && this.query.descending === (natural === "down");
    this.go({ sort, order: turned ? (natural === "down" ? "up" : "down") : natural, page: null });
  }

  turn(pages) {
    this.go({ page: String(this.query.page + pages) });
  }

  async refresh(signal) {
    const { find, sort, descending, page } = this.query;
    const found = await listRuns(
      { find, sort, descending, start: page * PAGE, count: PAGE }, signal);
    keep(this.rows, found.data, (run) => run.id, row, fill);
    write(this.total, many(found.count, "run"));
    this.table.hidden = found.data.length === 0;
    this.empty.hidden = found.data.length > 0;
    if (found.data.length === 0) this.explain();
    this.pages.hidden = found.count <= PAGE;
    this.newer.disabled = page === 0;
    this.older.disabled = (page + 1) * PAGE >= found.count;
  }

  explain() {
    this.empty.replaceChildren(...(this.query.find || this.query.page
      ? [element("p", {}, "No run fits.")]
      : [element("h2", {}, "No runs yet"),
        element("p", {}, "The first one appears here as soon as it starts:"),
        element("pre", {}, element("code", {}, FIRST_STEPS))]));
  }

  age() {
    for (const child of this.rows.children) fill(child, child.run);
  }

  close() {
    clearInterval(this.tick);
    this.poll?.close();
  }
}

function row(run) {
  const name = element("a", { href: `/dashboard/runs/run/${run.id}` }, colourDot(run), run.name);
  return element("tr", {},
    element("td", {}, element("span")),
    element("th", { scope: "row" }, name),
    element("td", { class: "folder" }),
    element("td", { class: "tags" }),
    element("td", {}, element("time")),
    element("td", { class: "figure" }));
}

function fill(child, run) {
  const [state, , folder, labels, created, length] = child.children;
  if (child.run !== run) {
    child.run = run;
    status(state.firstChild, run);
    write(folder, run.folder);
    labels.replaceChildren(...tags(run));
  }
  since(created.firstChild, run.created);
  write(length, span(run));
}

/** Walk up and down the table with the arrow keys, as the eye does. */
function walk(event) {
  const moves = { ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling" };
  const next = event.key in moves && event.target.closest("tr")?.[moves[event.key]];
  if (!next) return;
  next.querySelector("a").focus();
  event.preventDefault();
}
