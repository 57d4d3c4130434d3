/* Run: one run at /dashboard/runs/run/<id>: charts, events, and what it said about itself. */

import { getRun, metricNames } from "./api.js";
import { colourDot, since, span, status, tags } from "./badge.js";
import { Charts } from "./charts.js";
import { element, keep, write } from "./elements.js";
import { Events } from "./events.js";
import { calendar, integer, many, moment } from "./format.js";
import { Poll } from "./poll.js";

/** Milliseconds between looks at the run itself while it may change, and once it has ended. */
const REFRESH = { live: 2_000, ended: 15_000 };

/** Milliseconds between steps of the duration. */
const TICK = 1_000;

const TABS = [["charts", "Charts"], ["events", "Events"], ["about", "About"]];

/** Tell whether more is to be expected of a run: a lost one may come back. */
export function live(run) {
  return run.status === "running" || run.status === "created" || run.status === "lost";
}

/** Show the run *id* in *view*; *go* and *heard* as in runs.js. */
export class RunPage {
  constructor(view, id, { go, heard }) {
    this.id = id;
    this.run = null;
    this.go = go;
    this.heard = heard;
    this.query = new URLSearchParams();
    this.tab = null;

    this.title = element("h1", {}, "…");
    this.state = element("span", { class: "status" });
    this.tags = element("span", { class: "tags" });
    this.folder = element("dd");
    this.started = element("time");
    this.length = element("dd", { class: "figure" });
    this.description = element("p", { class: "description", hidden: true });
    this.dropped = element("p", { class: "dropped", hidden: true });
    this.tabs = TABS.map(([name, title]) => element("button", {
      type: "button", role: "tab", id: `tab-${name}`, "aria-controls": "panel",
      onclick: () => go({ tab: name === "charts" ? null : name, find: null }),
    }, title, " ", element("small")));
    this.panel = element("section", { id: "panel", role: "tabpanel" });
    view.replaceChildren(
      element("header", { class: "card summary" },
        element("div", { class: "headline" }, colourDot({ id }), this.title, this.state, this.tags),
        this.description,
        this.dropped,
        element("dl", {},
          element("div", {}, element("dt", {}, "Duration"), this.length),
          element("div", {}, element("dt", {}, "Started"), element("dd", {}, this.started)),
          element("div", {}, element("dt", {}, "Folder"), this.folder),
          element("div", {}, element("dt", {}, "Id"), element("dd", {}, copied(id))))),
      element("div", { class: "tabs", role: "tablist", "aria-label": "Parts of the run",
        onkeydown: (event) => this.walk(event) }, ...this.tabs),
      this.panel);

    this.poll = new Poll((signal) => this.refresh(signal),
      () => (this.run && !live(this.run) ? REFRESH.ended : REFRESH.live), heard);
    this.tick = setInterval(() => this.run && write(this.length, span(this.run)), TICK);
  }

  /** Follow the URL's query. */
  follow(query) {
    this.query = query;
    const wanted = TABS.some(([name]) => name === query.get("tab")) ? query.get("tab") : "charts";
    if (this.tab?.name !== wanted) {
      this.tab?.part.close();
      this.panel.replaceChildren();
      this.panel.setAttribute("aria-labelledby", `tab-${wanted}`);
      const Part = { charts: Charts, events: Events, about: About }[wanted];
      this.tab = { name: wanted, part: new Part(this.panel, this.id, { go: this.go, heard: this.heard }) };
      TABS.forEach(([name], i) => {
        this.tabs[i].setAttribute("aria-selected", name === wanted);
        this.tabs[i].tabIndex = name === wanted ? 0 : -1;
      });
      if (this.run) this.tab.part.learn(this.run, this.names);
    }
    this.tab.part.follow(query);
  }

  async refresh(signal) {
    const [run, names] = await Promise.all([
      getRun(this.id, signal), metricNames(this.id, signal)]);
    this.run = run;
    this.names = names;
    document.title = `${run.name} – Simvue`;
    write(this.title, run.name);
    status(this.state, run);
    keep(this.tags, run.tags ?? [], (tag) => tag, (tag) => tags({ tags: [tag] })[0]);
    write(this.folder, run.folder);
    since(this.started, run.started);
    write(this.length, span(run));
    this.description.hidden = !run.description;
    write(this.description, run.description ?? "");
    this.dropped.hidden = !run.dropped;
    write(this.dropped, `${many(run.dropped ?? 0, "row")} of this run ${run.dropped === 1 ? "is" : "are"} `
      + "missing: the queue was full, and its policy is to drop.");
    write(this.tabs[0].querySelector("small"), integer(names.length));
    this.tab?.part.learn(run, names);
  }

  /** Walk along the tabs with the arrow keys. */
  walk(event) {
    const moves = { ArrowLeft: -1, ArrowRight: 1 };
    if (!(event.key in moves)) return;
    const next = (this.tabs.indexOf(event.target) + moves[event.key] + TABS.length) % TABS.length;
    this.tabs[next].focus();
    this.tabs[next].click();
    event.preventDefault();
  }

  close() {
    clearInterval(this.tick);
    this.poll.close();
    this.tab?.part.close();
  }
}

/** What the run said about itself: times, metadata and system, every leaf with its dotted key. */
class About {
  constructor(panel, id, { go }) {
    this.find = element("input", {
      type: "search", class: "find", placeholder: "Find a key", "aria-label": "Find a key",
      oninput: () => go({ find: this.find.value || null }, true),
    });
    this.lists = element("div", { class: "facts" });
    panel.append(element("div", { class: "tools" }, this.find), this.lists);
    this.wanted = "";
  }

  follow(query) {
    this.wanted = (query.get("find") ?? "").toLowerCase();
    if (document.activeElement !== this.find) this.find.value = this.wanted;
    if (this.run) this.learn(this.run);
  }

  learn(run) {
    this.run = run;
    const when = (text) => (text ? calendar(moment(text)) : "–");
    const parts = [
      ["Run", [["created", when(run.created)], ["started", when(run.started)],
        ["ended", when(run.endtime)], ["user", run.user ?? "–"]]],
      ["Metadata", leaves(run.metadata ?? {})],
      ["System", leaves(run.system ?? {})],
    ].map(([title, facts]) => [title, facts.filter(([key, value]) => (
      `${key} ${value}`.toLowerCase().includes(this.wanted)))]);
    keep(this.lists, parts.filter(([, facts]) => facts.length), ([title]) => title,
      ([title]) => element("section", { class: "card" }, element("h2", {}, title), element("dl")),
      (section, [, facts]) => keep(section.lastChild, facts, ([key]) => key,
        ([key]) => element("div", {}, element("dt", {}, key), element("dd")),
        (pair, [, value]) => write(pair.lastChild, value)));
  }

  close() {}
}

/** List the leaves of nested metadata as [dotted key, text]. */
function leaves(value, key = "") {
  if (value === null || typeof value !== "object") return [[key, String(value)]];
  if (Array.isArray(value)) return [[key, JSON.stringify(value)]];
  return Object.entries(value).flatMap(([name, inner]) => (
    leaves(inner, key ? `${key}.${name}` : name)));
}

/** A text that is copied when it is clicked. */
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
