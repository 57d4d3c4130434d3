/*
 * Compare: any number of runs beside each other at /dashboard/compare.
 *
 * The query: `runs`, `base` (the baseline), and `show`, one of
 *   table     `differ` (only rows that differ) and `find` (in their names)
 *   charts    what overlay.js reads
 *   scatter   `across`, `up` (facts), `logs` (repeated: `across`, `up`)
 *   parallel  `axis` (repeated facts), `brush` (repeated: low~high~fact)
 */

import { getRuns, listRuns } from "./api.js";
import { csv, download } from "./csv.js";
import { element, fill, write } from "./elements.js";
import { factsOf } from "./facts.js";
import { many } from "./format.js";
import { hears, listen } from "./live.js";
import { Matrix, compared } from "./matrix.js";
import { Parallel } from "./parallel.js";
import { Poll } from "./poll.js";
import { address, ids, idsMember, runAddress } from "./router.js";
import { Scatter } from "./scatter.js";

/**
 * @typedef {import("./api.js").Run} Run
 * @typedef {import("./facts.js").Fact} Fact
 */

/** Milliseconds between looks at runs that go on. */
const PAUSE = 2_000;

/** Axes that parallel coordinates begin with: some parameters, and what came out. */
const PARAMETERS = 4;
const RESULTS = 2;

/** How many of the newest runs an empty comparison offers. */
const NEWEST = 10;

const SHOWN = { table: "Table", charts: "Charts", scatter: "Scatter", parallel: "Parallel coordinates" };

/**
 * @param {import("./app.js").Page} page
 * @returns {import("./app.js").View}
 */
export function open(page) {
  return new Compare(page);
}

class Compare {
  /** @param {import("./app.js").Page} page */
  constructor(page) {
    this.page = page;
    this.query = new URLSearchParams();
    /** @type {Map<string, Run | null>} null for a run that is gone */
    this.known = new Map();
    /** @type {Set<string>} runs that have changed since they were asked for */
    this.stale = new Set();
    /** How often an answer came, and for which runs at which time the facts were found. */
    this.answers = 0;
    this.found = "";
    /** @type {Fact[]} */
    this.facts = [];
    /** @type {ReturnType<typeof compared>} */
    this.compared = [];
    /** @type {import("./scope.js").Scope | null} what listens for the runs of the query */
    this.ears = null;
    /** @type {{ name: string, scope: import("./scope.js").Scope, draw: () => void } | null} */
    this.part = null;
    this.total = element("p", { class: "total", role: "status" });
    this.tabs = element("nav", { class: "tabs", "aria-label": "Ways to compare" });
    this.section = element("section");
    this.save = element("button", { type: "button", onclick: () => this.download() }, "CSV");
    page.title("Compare");
    this.head = element("div", { class: "head" }, element("h1", {}, "Compare"), this.total, this.save);
    fill(page.target, this.head, this.tabs, this.section);
  }

  /** @param {URLSearchParams} query */
  follow(query) {
    const before = idsMember(ids(this.query, "runs"));
    this.query = query;
    const wanted = ids(query, "runs");
    if (!this.ears || idsMember(wanted) !== before) this.listen(wanted);
    this.draw();
  }

  /**
   * Ask for the runs that are not known yet, and again for those that change.
   *
   * @param {string[]} runs
   */
  listen(runs) {
    this.ears?.close();
    this.ears = this.page.scope.inner();
    if (!runs.length) return;
    /** @type {import("./live.js").Interest} */
    const interest = { topics: ["run", "rows"], runs };
    this.ears.own(listen(interest, (topic, run) => {
      for (const id of topic === "hello" ? runs : [run]) this.stale.add(id);
    }));
    this.ears.own(new Poll((signal) => this.refresh(runs, signal), {
      pause: () => PAUSE, heard: this.page.heard, interest,
    }));
  }

  /**
   * @param {string[]} runs
   * @param {AbortSignal} signal
   */
  async refresh(runs, signal) {
    const wanted = runs.filter((id) => {
      const run = this.known.get(id);
      return run === undefined || this.stale.has(id) || (run && !run.endtime && !hears());
    });
    if (wanted.length) {
      wanted.forEach((id) => this.stale.delete(id));
      const found = await getRuns(wanted, signal).catch((error) => {
        wanted.forEach((id) => this.stale.add(id));
        throw error;
      });
      const there = new Map(found.map((run) => [run.id, run]));
      wanted.forEach((id) => this.known.set(id, there.get(id) ?? null));
      this.answers += 1;
    }
    this.draw();
  }

  /** The runs of the query that are there, the baseline first. */
  get runs() {
    const base = this.query.get("base");
    const found = ids(this.query, "runs").flatMap((id) => this.known.get(id) ?? []);
    return [...found.filter(({ id }) => id === base), ...found.filter(({ id }) => id !== base)];
  }

  get base() {
    return this.runs.find(({ id }) => id === this.query.get("base")) ?? null;
  }

  draw() {
    const wanted = ids(this.query, "runs");
    const runs = this.runs;
    const gone = wanted.filter((id) => this.known.get(id) === null).length;
    this.tabs.hidden = this.save.hidden = !wanted.length;
    if (!wanted.length) {
      write(this.total, "");
      this.show("", (scope) => this.explain(scope));
      return;
    }
    const waiting = wanted.some((id) => this.known.get(id) === undefined);
    write(this.total, waiting ? "…" : many(runs.length, "run") + (gone ? `; ${gone} are not there any more` : ""));
    const name = this.query.get("show") ?? "table";
    fill(this.tabs, ...Object.entries(SHOWN).map(([key, title]) => element("a", {
      href: this.link({ show: key === "table" ? null : key }), "aria-current": key === name ? "page" : null,
    }, title)));
    // The charts ask for themselves; all else waits for the runs.
    if (name !== "charts" && waiting) return;
    const found = `${this.answers} ${idsMember(runs.map(({ id }) => id))}`;
    if (!waiting && found !== this.found) {
      this.found = found;
      this.facts = factsOf(runs);
      this.compared = compared(this.facts, runs);
    }
    const open = { charts: this.openCharts, scatter: this.openScatter, parallel: this.openParallel }[name] ?? this.openTable;
    this.show(name, (scope) => open.call(this, scope));
  }

  /**
   * Show a part, and bring it to the query.
   *
   * @param {string} name
   * @param {(scope: import("./scope.js").Scope) => () => void} open fills the section; returns what brings it up to date
   */
  show(name, open) {
    if (this.part?.name !== name) {
      this.part?.scope.close();
      const scope = this.page.scope.inner();
      fill(this.section);
      this.part = { name, scope, draw: open(scope) };
    }
    this.part.draw();
  }

  /** @param {Record<string, import("./router.js").Member>} changes */
  link(changes) {
    const now = Object.fromEntries([...this.query.keys()].map((name) => [name, this.query.getAll(name)]));
    return address("/dashboard/compare", { ...now, ...changes });
  }

  /** @param {import("./scope.js").Scope} scope */
  explain(scope) {
    const newest = element("a", { class: "button", hidden: true }, "Compare the newest runs");
    fill(this.section, element("div", { class: "empty card" },
      element("h2", {}, "No runs chosen"),
      element("p", {}, "Tick runs in the table of runs and press Compare there: what they differ in, their charts, and any of their numbers against any other."),
      element("p", {}, element("a", { href: "/dashboard/runs" }, "To the runs")), newest));
    listRuns({ count: NEWEST, metrics: false, metadata: false, system: false }, scope.signal).then(({ data }) => {
      newest.href = this.link({ runs: idsMember(data.map(({ id }) => id)) });
      newest.hidden = data.length < 2;
    }).catch((error) => { if (!scope.closed) this.page.heard(error); });
    return () => {};
  }

  // ---- Table -----------------------------------------------------------------------------------

  /** @param {import("./scope.js").Scope} scope */
  openTable(scope) {
    const matrix = new Matrix(scope, {
      base: (run) => this.page.go({ base: this.query.get("base") === run ? null : run }),
      drop: (run) => this.page.go({ runs: idsMember(ids(this.query, "runs").filter((id) => id !== run)) }),
    });
    const find = element("input", {
      type: "search", class: "find", placeholder: "Find a key   /", "aria-label": "Find keys",
      oninput: () => this.page.go({ find: find.value }, true),
    });
    const differ = element("input", {
      type: "checkbox", onchange: () => this.page.go({ differ: differ.checked ? "1" : null }),
    });
    const count = element("p", { class: "total", role: "status" });
    fill(this.section, element("div", { class: "tools" }, find,
      element("label", {}, differ, "Differences only"), count), matrix.element);
    return () => {
      const wanted = this.query.get("find") ?? "";
      if (document.activeElement !== find) find.value = wanted;
      differ.checked = this.query.has("differ");
      const rows = this.rows();
      write(count, `${many(rows.length, "row")}, ${rows.filter(({ differs }) => differs).length} differ`);
      matrix.show(this.runs, rows, this.base);
    };
  }

  /** The rows of the table: facts that any of the runs has, as the query narrows them. */
  rows() {
    const wanted = (this.query.get("find") ?? "").toLowerCase();
    return this.compared.filter(({ fact, differs }) => (
      (differs || !this.query.has("differ")) && fact.id.toLowerCase().includes(wanted)));
  }

  download() {
    const { runs } = this;
    const rows = this.rows().map(({ fact }) => [fact.id, ...runs.map((run) => fact.exact(run))]);
    download("comparison.csv", csv([["", ...runs.map(({ name }) => name)], ["id", ...runs.map(({ id }) => id)], ...rows]), "text/csv");
  }

  // ---- Charts ----------------------------------------------------------------------------------

  /** @param {import("./scope.js").Scope} scope */
  openCharts(scope) {
    const target = element("section", { "aria-label": "Charts of the runs" });
    fill(this.section, target);
    /** @type {import("./app.js").View | null} */
    let view = null;
    import("./overlay.js").then((module) => {
      if (scope.closed) return;
      const opened = module.open({ ...this.page, target, scope });
      opened.follow(this.query);
      view = opened;
    }).catch(this.page.heard);
    return () => view?.follow(this.query);
  }

  // ---- Scatter ---------------------------------------------------------------------------------

  /** @param {import("./scope.js").Scope} scope */
  openScatter(scope) {
    const scatter = new Scatter(scope, ({ id }) => this.page.visit(runAddress(id)));
    const numbers = () => this.facts.filter((fact) => this.runs.some((run) => fact.number(run) !== null));
    const pick = (/** @type {string} */ member, /** @type {string} */ words) => {
      const field = this.chooser(words, numbers, (id) => this.page.go({ [member]: id }));
      const log = element("input", {
        type: "checkbox", onchange: () => this.page.go({ logs: toggled(this.query.getAll("logs"), member) }),
      });
      return { field, log, member, part: element("span", { class: "pick" }, field.label, element("label", {}, log, "log")) };
    };
    const picks = [pick("across", "Across"), pick("up", "Up")];
    const none = element("p", { class: "empty card" }, "These runs have no two numbers to draw against each other.");
    fill(this.section, element("div", { class: "tools" }, ...picks.map(({ part }) => part)), scatter.element, none);
    return () => {
      const facts = numbers();
      const [x, y] = this.axesOfScatter(facts);
      none.hidden = Boolean(x && y);
      scatter.element.hidden = !none.hidden;
      if (!x || !y) return;
      picks.forEach(({ field, log, member }, i) => {
        if (document.activeElement !== field.input) field.input.value = [x, y][i].id;
        log.checked = this.query.getAll("logs").includes(member);
      });
      scatter.show(this.runs, x, y, { x: picks[0].log.checked, y: picks[1].log.checked });
    };
  }

  /**
   * What a scatter shows: what the query says, else the first parameter that differs and the
   * first result that does.
   *
   * @param {Fact[]} facts those with numbers
   */
  axesOfScatter(facts) {
    const named = (/** @type {string} */ member) => facts.find(({ id }) => id === this.query.get(member));
    const [parameters, results] = this.telling(facts);
    const x = named("across") ?? parameters[0] ?? results[0];
    return [x, named("up") ?? results.find((fact) => fact !== x) ?? facts.find((fact) => fact !== x)];
  }

  /**
   * Of *facts* those that differ between the runs: parameters and results.
   *
   * @param {Fact[]} facts
   */
  telling(facts) {
    const offered = new Set(facts);
    const differing = this.compared.filter(({ fact, differs }) => differs && offered.has(fact)).map(({ fact }) => fact);
    return [
      differing.filter(({ family }) => family === "metadata"),
      differing.filter(({ family, id }) => family === "metrics" && id.endsWith(".last") && !id.startsWith("metrics.resources")),
    ];
  }

  // ---- Parallel coordinates --------------------------------------------------------------------

  /** @param {import("./scope.js").Scope} scope */
  openParallel(scope) {
    const parallel = new Parallel(scope, {
      visit: ({ id }) => this.page.visit(runAddress(id)),
      brush: (fact, brush) => this.page.go({
        brush: [...[...this.brushes()].filter(([id]) => id !== fact.id).map(written), ...(brush ? [written([fact.id, brush])] : [])],
      }, true),
    });
    const axes = element("span", { class: "axes" });
    const field = this.chooser("Add an axis", () => this.facts, (id) => {
      field.input.value = "";
      this.page.go({ axis: [...this.axes().map((fact) => fact.id).filter((known) => known !== id), id] });
    });
    const narrow = element("button", {
      type: "button", onclick: () => this.page.go({ runs: idsMember(parallel.offered.map(({ run }) => run.id)), brush: null }),
    }, "Keep the chosen runs only");
    fill(this.section, element("div", { class: "tools" }, axes, field.label, narrow), parallel.element);
    return () => {
      const shown = this.axes();
      fill(axes, ...shown.map(({ id }) => element("button", {
        type: "button", "aria-label": `Take away the axis ${id}`, disabled: shown.length < 3,
        onclick: () => this.page.go({ axis: shown.map((fact) => fact.id).filter((known) => known !== id) }),
      }, element("bdi", {}, id), " ✕")));
      parallel.show(this.runs, shown, this.brushes());
      const { length } = parallel.offered;
      narrow.disabled = length === 0 || length === parallel.marks.length;
    };
  }

  /** The axes that are shown: those of the query, else the first that tell the runs apart. */
  axes() {
    const named = this.query.getAll("axis").flatMap((id) => this.facts.find((fact) => fact.id === id) ?? []);
    if (named.length > 1) return named;
    const [parameters, results] = this.telling(this.facts.filter((fact) => this.runs.every((run) => fact.exact(run) !== "")));
    const found = [...parameters.slice(0, PARAMETERS), ...results.slice(0, RESULTS)];
    return found.length > 1 ? found : this.facts.filter(({ id }) => id === "status" || id === "duration");
  }

  /** What is brushed, by fact. */
  brushes() {
    return new Map(this.query.getAll("brush").flatMap((text) => {
      const [low, high, ...rest] = text.split("~");
      /** @type {[string, import("./parallel.js").Brush]} */
      const read = [rest.join("~"), { low: Number(low), high: Number(high) }];
      return Number.isFinite(read[1].low) && Number.isFinite(read[1].high) ? [read] : [];
    }));
  }

  /**
   * A field that takes the name of a fact.
   *
   * @param {string} words
   * @param {() => Fact[]} facts
   * @param {(id: string) => void} chosen
   */
  chooser(words, facts, chosen) {
    const list = element("datalist", { id: `facts-${words.replaceAll(" ", "-")}` });
    const input = element("input", {
      type: "text", class: "find", autocomplete: "off",
      onfocus: () => {
        fill(list, ...facts().map(({ id }) => element("option", { value: id })));
        input.select();
      },
      onchange: () => { if (facts().some(({ id }) => id === input.value)) chosen(input.value); },
    });
    input.setAttribute("list", list.id);
    return { input, label: element("label", {}, words, input, list) };
  }
}

/** @param {[string, import("./parallel.js").Brush]} brushed */
function written([id, { low, high }]) {
  return `${low}~${high}~${id}`;
}

/**
 * @param {string[]} list
 * @param {string} item
 */
function toggled(list, item) {
  return list.includes(item) ? list.filter((known) => known !== item) : [...list, item];
}
