/*
 * Run: one run at /dashboard/runs/run/<id>: what it is at the top, and its parts in tabs.
 *
 * A tab is a module of its own, loaded when it is first looked at; what it has open ends with it.
 */

import { abortRun, getRun, listTags, metricNames } from "./api.js";
import { colourDot, live, since, span, status, tags } from "./badge.js";
import { Charts } from "./charts.js";
import { dash, hue } from "./colour.js";
import { leaves } from "./columns.js";
import { ask } from "./dialog.js";
import { element, fill, write } from "./elements.js";
import { integer, many } from "./format.js";
import { Poll } from "./poll.js";
import { address } from "./router.js";
import { editTags } from "./tagcell.js";

/**
 * @typedef {import("./api.js").Run} Run
 * @typedef {import("./app.js").Page} Page
 *
 * @typedef {{ run: Run, names: string[] }} Known
 * @typedef {object} Part what a tab shows
 * @property {(query: URLSearchParams) => void} follow
 * @property {(known: Known) => void} [learn] hears of the run, at once and whenever it changes
 * @property {(names: string[]) => void} [name] hears which metrics there are, which is known before all of the run is
 *
 * @typedef {{ open: (page: Page, id: string) => Part }} PartModule
 */

/** Milliseconds between looks at the run itself, and at which metrics it has. */
const REFRESH = { run: 1_000, names: 2_000 };

/** Milliseconds between steps of the duration. */
const TICK = 1_000;

/** What stands before the names of metrics that simvue measures itself. */
const RESOURCES = "resources/";

/** @type {[string, string, () => Promise<PartModule>, ((known: Known) => number)?, ((run: Run) => boolean)?][]} address, word, module, how many it holds, whether there is one */
const TABS = [
  ["overview", "Overview", () => import("./overview.js")],
  ["metrics", "Metrics", async () => metrics((name) => !name.startsWith(RESOURCES)), ({ names }) => names.filter((name) => !name.startsWith(RESOURCES)).length],
  ["resources", "Resources", async () => metrics((name) => name.startsWith(RESOURCES)), ({ names }) => names.filter((name) => name.startsWith(RESOURCES)).length],
  ["job", "Job", () => import("./job.js"), undefined, (run) => run.ranks.length > 1 || groupOf(run) !== null],
  ["events", "Events", () => import("./events.js")],
  ["artifacts", "Artifacts", () => import("./artifacts.js")],
  ["alerts", "Alerts", () => import("./runalerts.js"), ({ run }) => run.alerts.length],
  ["lineage", "Lineage", () => import("./lineage.js")],
];

/** What is shown where the address says nothing. */
const FIRST = "metrics";

/**
 * The launch that a run is one rank of, where each rank has a run of its own.
 *
 * @param {Run} run
 * @returns {string | null}
 */
export function groupOf(run) {
  const launch = new Map(leaves(run.metadata));
  const group = launch.get("simvue.launch.group");
  return typeof group === "string" && launch.get("simvue.launch.rank") !== undefined ? group : null;
}

/**
 * @param {Page} page
 * @param {string} id
 */
export function open(page, id) {
  return new RunPage(page, id);
}

class RunPage {
  /**
   * @param {Page} page
   * @param {string} id
   */
  constructor(page, id) {
    this.page = page;
    this.id = id;
    /** @type {Run | null} */
    this.run = null;
    /** @type {string[] | null} */
    this.names = null;
    /** @type {{ name: string, scope: import("./scope.js").Scope, part: Part | null } | null} */
    this.tab = null;
    this.query = new URLSearchParams();

    this.title = element("h1", { dir: "auto" }, "…");
    this.state = element("span", { class: "status" });
    this.tags = element("span", { class: "tags" });
    this.retag = element("button", { type: "button", class: "plain quiet", hidden: true, title: "Edit the tags", "aria-label": "Edit the tags", onclick: () => this.editTags() }, "✎");
    this.folder = element("a", { dir: "auto" });
    this.started = element("time");
    this.length = element("dd", { class: "figure" });
    this.description = element("p", { class: "description", dir: "auto", hidden: true });
    this.dropped = element("p", { class: "dropped", role: "status", hidden: true });
    this.stop = element("button", { type: "button", hidden: true, onclick: () => this.abort() }, "Abort…");
    this.tabs = TABS.map(([name, title]) => element("button", {
      type: "button", role: "tab", id: `tab-${name}`, "aria-controls": "panel", hidden: name === "job",
      onclick: () => page.visit(`${location.pathname}${name === FIRST ? "" : `?tab=${name}`}`),
    }, title, " ", element("small")));
    this.panel = element("section", { id: "panel", role: "tabpanel" });
    fill(page.target,
      element("header", { class: "card summary" },
        element("div", { class: "headline" }, colourDot({ id }), this.title, this.state, this.tags, this.retag, this.stop),
        this.description,
        this.dropped,
        element("dl", {},
          element("div", {}, element("dt", {}, "Duration"), this.length),
          element("div", {}, element("dt", {}, "Started"), element("dd", {}, this.started)),
          element("div", {}, element("dt", {}, "Folder"), element("dd", {}, this.folder)),
          element("div", {}, element("dt", {}, "Id"), element("dd", {}, copied(id))))),
      element("div", {
        class: "tabs", role: "tablist", "aria-label": "Parts of the run",
        onkeydown: (/** @type {KeyboardEvent} */ event) => this.walk(event),
      }, ...this.tabs),
      this.panel);

    const { scope, heard } = page;
    this.poll = scope.own(new Poll(async (signal) => {
      const run = await getRun(id, signal);
      this.learn(run, this.names);
    }, {
      pause: () => REFRESH.run, heard, interest: { topics: ["run"], runs: [id] },
    }));
    scope.own(new Poll(async (signal) => {
      const names = await metricNames(id, signal);
      this.learn(this.run, names);
    }, {
      pause: () => REFRESH.names, heard, interest: { topics: ["rows"], runs: [id] },
    }));
    scope.every(TICK, () => this.run && write(this.length, span(this.run)));
  }

  /** @param {URLSearchParams} query */
  follow(query) {
    this.query = query;
    const wanted = TABS.find(([name]) => name === (query.get("tab") ?? FIRST)) ?? TABS[1];
    if (this.tab?.name === wanted[0]) this.tab.part?.follow(query);
    else this.turn(wanted);
  }

  /** @param {typeof TABS[number]} wanted */
  async turn([name, , load]) {
    this.tab?.scope.close();
    const tab = this.tab = { name, scope: this.page.scope.inner(), part: /** @type {Part | null} */ (null) };
    this.panel.replaceChildren();
    this.panel.setAttribute("aria-labelledby", `tab-${name}`);
    TABS.forEach(([other], i) => {
      this.tabs[i].setAttribute("aria-selected", String(other === name));
      this.tabs[i].tabIndex = other === name ? 0 : -1;
    });
    const module = await load();
    if (tab.scope.closed) return;
    tab.part = module.open({ ...this.page, target: this.panel, scope: tab.scope }, this.id);
    tab.part.follow(this.query);
    if (this.names) tab.part.name?.(this.names);
    if (this.run && this.names) tab.part.learn?.({ run: this.run, names: this.names });
  }

  /**
   * @param {Run | null} run
   * @param {string[] | null} names
   */
  learn(run, names) {
    if (run && run !== this.run) this.tell(run);
    if (names && names !== this.names) this.tab?.part?.name?.(names);
    this.run = run;
    this.names = names;
    if (!run || !names) return;
    TABS.forEach(([, , , count, there], i) => {
      write(/** @type {Element} */ (this.tabs[i].lastElementChild), count ? integer(count({ run, names })) : "");
      this.tabs[i].hidden = there !== undefined && !there(run);
    });
    this.tab?.part?.learn?.({ run, names });
  }

  /** @param {Run} run */
  tell(run) {
    this.page.title(run.name);
    this.retag.hidden = false;
    write(this.title, run.name);
    status(this.state, run);
    if (!this.tags.classList.contains("edited")) fill(this.tags, ...tags(run));
    write(this.folder, run.folder);
    this.folder.href = address("/dashboard/folders", { path: run.folder });
    since(this.started, run.started);
    write(this.length, span(run));
    this.description.hidden = !run.description;
    write(this.description, run.description ?? "");
    this.dropped.hidden = !run.dropped;
    write(this.dropped, `${many(run.dropped ?? 0, "row")} of this run ${run.dropped === 1 ? "is" : "are"} `
      + "missing: the queue was full, and its policy is to drop.");
    this.stop.hidden = !live(run);
    this.stop.disabled = run.abort;
    write(this.stop, run.abort ? "Asked to stop" : "Abort…");
  }

  async editTags() {
    if (!this.run) return;
    const { data } = await listTags();
    editTags(this.run, this.tags, new Map(data.map(({ name, colour }) => [name, colour])), this.page.heard);
  }

  abort() {
    const reason = element("input", { type: "text", maxLength: 200 });
    ask("Abort this run?", {
      content: [
        element("p", {}, "The simulation is asked to stop, and ends as ", element("strong", {}, "terminated"), "."),
        element("label", {}, "Reason", reason),
      ],
      verb: "Abort", dangerous: true,
      act: async () => {
        await abortRun(this.id, reason.value);
        this.poll.now();
      },
    });
  }

  /**
   * Walk along the tabs with the arrow keys.
   *
   * @param {KeyboardEvent} event
   */
  walk(event) {
    const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!way) return;
    const shown = this.tabs.filter((tab) => !tab.hidden);
    const next = shown[(shown.findIndex((tab) => tab === event.target) + way + shown.length) % shown.length];
    next.focus();
    next.click();
    event.preventDefault();
  }
}

/**
 * The charts of the metrics that *belong* to a tab.
 *
 * @param {(name: string) => boolean} belong
 * @returns {PartModule}
 */
function metrics(belong) {
  return {
    open(page, id) {
      const one = element("p", { class: "only", hidden: true });
      page.target.append(one);
      const charts = page.scope.own(new Charts(page.target, page));
      /** @type {Run | null} */
      let run = null;
      /** @type {string[] | null} */
      let names = null;
      /** @type {number | undefined} */
      let rank;
      const learn = () => {
        if (!names) return;
        const key = rank === undefined ? id : `${id} ${rank}`;
        charts.learn({
          sources: [{ key, run: id, rank, name: run?.name ?? id, colour: () => hue(id), dash: dash("") }],
          names, live: run !== null && live(run),
        });
      };
      return {
        follow(query) {
          rank = query.has("rank") ? Number(query.get("rank")) : undefined;
          one.hidden = rank === undefined;
          fill(one, `Only what rank ${rank} logged. `, element("button", { type: "button", onclick: () => page.go({ rank: null }) }, "All ranks"));
          charts.follow(query);
          learn();
        },
        name(all) {
          names = all.filter(belong);
          learn();
        },
        learn(known) {
          run = known.run;
          learn();
        },
      };
    },
  };
}

/**
 * A text that is copied when it is clicked.
 *
 * @param {string} text
 */
function copied(text) {
  const button = element("button", {
    type: "button", class: "plain code", title: "Copy",
    onclick: async () => {
      await navigator.clipboard?.writeText(text);
      button.classList.add("done");
      setTimeout(() => button.classList.remove("done"), 1_200);
    },
  }, text);
  return button;
}
