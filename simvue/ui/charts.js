/*
 * Charts: the metrics of one run or of many, one chart each, all over the same range of x.
 *
 * ::
 *
 *     names ──> sections by prefix ──> a card each ──> on screen: a Chart    off screen: an empty card
 *     sources (runs, or ranks of one) ──> cuts ──────────^
 *
 * Only charts that can be seen exist and are asked for, each as many buckets as it has pixels:
 * a page costs the same for ten metrics and a thousand, for a thousand rows and for a billion.
 * While a run goes on, only what is new is asked for and joined to what is drawn, which stays
 * as it is; now and then all is asked for anew, for rows that came late.
 */

import { Chart } from "./chart.js";
import { askCuts, askTails, metricOver } from "./cuts.js";
import { element, keep, write } from "./elements.js";
import { Hover } from "./hover.js";
import { onKey } from "./keys.js";
import { hears, listen } from "./live.js";
import { Poll } from "./poll.js";
import { joined, trace } from "./series.js";
import { themes } from "./theme.js";

/**
 * @typedef {import("./cuts.js").Source} Source
 * @typedef {import("./series.js").Cut} Cut
 * @typedef {import("./chart.js").View} View
 *
 * @typedef {object} Held what a chart has of one source
 * @property {string} question that it answers
 * @property {number} points
 * @property {number} version of the run when it was asked
 * @property {number} whole when all of it was asked for
 * @property {Cut | null} cut nothing, if the run has no such metric
 * @property {import("./series.js").Trace | null} trace
 *
 * @typedef {object} Asked one question to the server
 * @property {Chart[]} charts
 * @property {number} points
 * @property {{ source: Source, version: number, start: number }[]} of whose series, as of which version, and from which x on
 */

/** Milliseconds between looks at series: five a second look continuous; a run that has ended may still be sent rows. */
const REFRESH = { live: 200, ended: 15_000 };

/** Milliseconds after which all of a series that grows is asked for again: rows may come late. */
const WHOLE = 10_000;

/** Buckets for each pixel, at most, before those that were joined are asked for anew. */
const JOINED_MAX = 2.5;

/** Lines of a chart with a bucket for each pixel: of twice as many, each has one for two pixels, and so on. */
const LINES_FULL = 10;

/** Milliseconds after which charts are drawn with what has come, though some sources are still awaited. */
const PARTLY = 1_000;

/** Requests for what is new to one run at a time; series that differ more are asked for whole. */
const TAILS_MAX = 6;

const XAXES = [["step", "Step"], ["time", "Time since start"], ["timestamp", "Wall clock"]];

/** Pixels beyond the screen in which charts are drawn beforehand. */
const BEYOND = "300px";

export class Charts {
  /**
   * @param {HTMLElement} panel
   * @param {import("./app.js").Page} page
   */
  constructor(panel, page) {
    this.page = page;
    this.scope = page.scope.inner();
    this.hover = new Hover();
    /** @type {Source[]} */
    this.sources = [];
    /** @type {string[] | null} */
    this.names = null;
    this.live = false;
    /** @type {Map<string, HTMLElement>} cards by metric */
    this.cards = new Map();
    /** @type {Map<string, Chart>} the charts that can be seen */
    this.seen = new Map();
    /** @type {WeakMap<Chart, Map<string, Held>>} */
    this.held = new WeakMap();
    /** @type {Set<Chart>} charts of which more is held than is drawn */
    this.fresh = new Set();
    /** @type {Map<string, number>} how often each run was heard to have changed */
    this.versions = new Map();
    /** @type {View & { find: RegExp | null, full: string | null, shut: string[], question: string } | null} */
    this.view = null;
    /** @type {Poll | null} */
    this.poll = null;
    this.runs = "";

    const go = page.go;
    this.find = element("input", {
      type: "search", class: "find", placeholder: "Find a metric   /", "aria-label": "Find a metric",
      oninput: () => go({ metric: this.find.value }, true),
    });
    this.regex = element("button", {
      type: "button", class: "toggle", title: "Read what is searched for as a regular expression", "aria-label": "Regular expression",
      onclick: () => go({ re: this.regex.getAttribute("aria-pressed") === "true" ? null : "1" }, true),
    }, ".*");
    this.others = element("optgroup", { label: "Another metric" });
    this.xaxis = element("select", {
      id: "xaxis", onfocus: () => this.name(), onchange: () => go({ x: this.xaxis.value === "step" ? null : this.xaxis.value, from: null, to: null }),
    }, ...XAXES.map(([value, title]) => element("option", { value }, title)), this.others);
    this.logs = ["x", "y"].map((axis) => element("input", { type: "checkbox", onchange: () => this.turnLog(axis) }));
    this.smooth = element("input", {
      type: "range", min: "0", max: "0.99", step: "0.01", "aria-label": "Smoothing",
      oninput: () => go({ smooth: Number(this.smooth.value) ? this.smooth.value : null }, true),
    });
    this.whole = element("button", { type: "button", hidden: true, onclick: () => this.reset() }, "Whole range");
    this.said = element("p", { class: "wrong", role: "alert", hidden: true });
    this.empty = element("p", { class: "empty card", hidden: true });
    this.groups = element("div", { class: "groups" });
    this.element = element("div", { class: "charts" },
      element("div", { class: "tools" }, element("span", { class: "joined" }, this.find, this.regex),
        element("label", {}, "x axis ", this.xaxis),
        element("label", {}, this.logs[0], " log x"), element("label", {}, this.logs[1], " log y"),
        element("label", {}, "Smooth ", this.smooth), this.whole),
      this.said, this.empty, this.groups);
    panel.append(this.element);

    this.watch = new IntersectionObserver((entries) => this.look(entries), { rootMargin: BEYOND });
    this.scope.ending(() => this.watch.disconnect());
    const restyle = () => { for (const chart of this.seen.values()) chart.restyle(); };
    this.scope.listen(themes, "change", restyle);
    this.scope.listen(this.hover, "line", restyle);
    this.scope.listen(this.hover, "move", () => { for (const chart of this.seen.values()) chart.read(); });
    onKey(this.scope, "x", "Turn the x axis logarithmic, or back", () => this.turnLog("x"));
    onKey(this.scope, "y", "Turn the y axis logarithmic, or back", () => this.turnLog("y"));
    onKey(this.scope, "Escape", "Let go of the place that is pinned, or leave the full screen", () => this.escape());
    this.scope.ending(() => this.clear());
  }

  // ---- What is shown ------------------------------------------------------------------------

  /**
   * Follow the address: metric, re, x, log, smooth, from and to, shut, full.
   *
   * @param {URLSearchParams} query
   */
  follow(query) {
    const number = (/** @type {string} */ name) => (query.has(name) ? Number(query.get(name)) : NaN);
    const [from, to] = [number("from"), number("to")];
    const xaxis = query.get("x") ?? "step";
    const log = ["x", "y"].filter((axis) => (query.get("log") ?? "").includes(axis)).join("");
    /** @type {[number, number] | null} */
    const range = from < to ? [from, to] : null;
    const known = xaxis.startsWith("metric:") || XAXES.some(([name]) => name === xaxis);
    this.view = {
      xaxis: known ? xaxis : "step", range,
      log: xaxis === "timestamp" ? log.replace("x", "") : log,
      smooth: Math.min(0.99, Math.max(0, number("smooth") || 0)),
      find: this.pattern(query.get("metric") ?? "", query.has("re")),
      full: query.get("full"), shut: query.getAll("shut"),
      question: JSON.stringify([xaxis, log.includes("x"), range]),
    };
    if (document.activeElement !== this.find) this.find.value = query.get("metric") ?? "";
    this.regex.setAttribute("aria-pressed", String(query.has("re")));
    this.logs.forEach((box, i) => { box.checked = log.includes("xy"[i]); });
    this.logs[0].disabled = xaxis === "timestamp";
    this.smooth.value = String(this.view.smooth);
    this.whole.hidden = range === null;
    this.name();
    this.lay();
    for (const chart of this.seen.values()) this.draw(chart);
    this.poll?.now();
  }

  /**
   * Hear whose metrics there are, which, and whether more are to be expected.
   *
   * @param {{ sources: Source[], names: string[], live: boolean }} news
   */
  learn({ sources, names, live }) {
    const keys = (/** @type {Source[]} */ list) => list.map(({ key }) => key).join();
    const others = keys(sources) !== keys(this.sources);
    const more = names.join("\n") !== this.names?.join("\n");
    const renamed = sources.some(({ name }, i) => name !== this.sources[i]?.name);
    // Runs that end are looked at once more at once: their last rows came with their end.
    const ended = this.live && !live;
    this.sources = sources;
    this.names = names;
    this.live = live;
    if (more) {
      this.name();
      this.lay();
    }
    if (others || renamed) for (const chart of this.seen.values()) this.draw(chart);
    const runs = [...new Set(sources.map(({ run }) => run))];
    if (runs.join() !== this.runs) this.hear(runs);
    else if (ended || others) {
      if (ended) this.change("");
      this.poll?.now();
    }
  }

  /**
   * Hear of rows of *runs* from now on.
   *
   * @param {string[]} runs
   */
  hear(runs) {
    this.runs = runs.join();
    this.ears?.close();
    this.ears = this.scope.inner();
    if (runs.length === 0) return;
    /** @type {import("./live.js").Interest} */
    const interest = { topics: ["rows"], runs };
    this.ears.own(listen(interest, (_, run) => this.change(run)));
    this.poll = this.ears.own(new Poll((signal) => this.refresh(signal), {
      pause: () => (this.live ? REFRESH.live : REFRESH.ended), heard: this.page.heard, interest,
    }));
  }

  /** @param {string} run all of them, if there is no name */
  change(run) {
    for (const name of run ? [run] : this.sources.map((source) => source.run)) {
      this.versions.set(name, (this.versions.get(name) ?? 0) + 1);
    }
  }

  /**
   * Read what is searched for.
   *
   * @param {string} text
   * @param {boolean} regex
   */
  pattern(text, regex) {
    this.said.hidden = true;
    if (!text) return null;
    try {
      return new RegExp(regex ? text : text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), "iu");
    } catch (error) {
      this.said.hidden = false;
      write(this.said, `This is no regular expression: ${error instanceof Error ? error.message : error}`);
      return null;
    }
  }

  /** Offer x axes: the one there is, and all metrics once somebody turns to the list, of a thousand perhaps. */
  name() {
    const over = this.view && metricOver(this.view);
    const offered = document.activeElement === this.xaxis ? this.names ?? [] : [];
    keep(this.others, [...new Set([...offered, ...(over ? [over] : [])])], (name) => name, (name) => element("option", { value: `metric:${name}` }, name));
    if (this.view) this.xaxis.value = this.view.xaxis;
  }

  /** Lay out a card for each metric that fits the search, in sections that can be shut. */
  lay() {
    const { names, view } = this;
    if (!names || !view) return;
    const wanted = names.filter((name) => !view.find || view.find.test(name));
    const sections = sectionsOf(wanted);
    const open = new Set([...sections].flatMap(([prefix, inside]) => (view.shut.includes(prefix) ? [] : inside)));
    for (const name of [...this.cards.keys()]) if (!open.has(name)) this.drop(name);
    keep(this.groups, sections, ([prefix]) => prefix, ([prefix]) => this.section(prefix), (section, [prefix, inside]) => {
      const [heading, grid] = /** @type {HTMLElement[]} */ (Array.from(section.children));
      const shut = view.shut.includes(prefix);
      const button = /** @type {HTMLElement} */ (heading.firstElementChild);
      heading.hidden = sections.size < 2 && !shut;
      button.setAttribute("aria-expanded", String(!shut));
      write(/** @type {HTMLElement} */ (button.lastElementChild), String(inside.length));
      grid.hidden = shut;
      keep(grid, shut ? [] : inside, (name) => name, (name) => this.card(name), (card, name) => {
        card.classList.toggle("full", name === view.full);
      });
    });
    this.empty.hidden = wanted.length > 0;
    write(this.empty, names.length ? "No metric fits." : "No metrics yet; the first values appear here by themselves.");
  }

  /** @param {string} prefix */
  section(prefix) {
    const turn = () => {
      const shut = this.view?.shut ?? [];
      this.page.go({ shut: shut.includes(prefix) ? shut.filter((name) => name !== prefix) : [...shut, prefix] }, true);
    };
    return element("section", { "aria-label": prefix },
      element("h2", {}, element("button", { type: "button", class: "plain", onclick: turn },
        element("span", { dir: "auto" }, prefix), " ", element("small"))),
      element("div", { class: "grid" }));
  }

  /** @param {string} name */
  card(name) {
    const card = element("article", { class: "card chart", "aria-label": name });
    this.cards.set(name, card);
    this.watch.observe(card);
    return card;
  }

  /** @param {string} name */
  drop(name) {
    const card = this.cards.get(name);
    if (card) this.watch.unobserve(card);
    this.cards.delete(name);
    this.rest(name);
  }

  /** @param {string} name */
  rest(name) {
    const chart = this.seen.get(name);
    if (!chart) return;
    chart.close();
    this.seen.delete(name);
    this.fresh.delete(chart);
  }

  clear() {
    for (const name of [...this.cards.keys()]) this.drop(name);
    this.element.remove();
  }

  /** @param {IntersectionObserverEntry[]} entries */
  look(entries) {
    let more = false;
    for (const { target, isIntersecting } of entries) {
      const card = /** @type {HTMLElement} */ (target);
      const name = card.ariaLabel ?? "";
      if (!isIntersecting || !this.view) this.rest(name);
      else if (!this.seen.has(name) && this.cards.get(name) === card) {
        more = true;
        this.seen.set(name, new Chart(card, name, this.view, this.hover, {
          zoom: (from, to) => this.page.go({ from: String(from), to: String(to) }),
          reset: () => this.reset(),
          enlarge: () => this.page.go({ full: this.view?.full === name ? null : name }),
          offer: (chart, at) => this.offer(chart, at).catch(this.page.heard),
        }));
      }
    }
    if (more) this.poll?.now();
  }

  // ---- What is done with all of them --------------------------------------------------------

  /**
   * @param {Chart} chart
   * @param {HTMLElement} at
   */
  async offer(chart, at) {
    const { offer } = await import("./saving.js");
    offer(chart, at, { sources: this.sources, heard: this.page.heard });
  }

  reset() {
    if (this.view?.range) this.page.go({ from: null, to: null });
  }

  /** @param {string} axis */
  turnLog(axis) {
    const log = new URLSearchParams(location.search).get("log") ?? "";
    const turned = ["x", "y"].filter((name) => log.includes(name) !== (name === axis)).join("");
    this.page.go({ log: turned || null });
  }

  escape() {
    if (this.hover.x !== null) this.hover.free();
    else if (this.view?.full) this.page.go({ full: null });
  }

  // ---- What is asked ------------------------------------------------------------------------

  /** @param {AbortSignal} signal */
  async refresh(signal) {
    const { view } = this;
    if (!view) return;
    // Nobody says what has changed: all may have.
    if (!hears()) this.change("");
    const { wholes, tails } = this.questions(view);
    // A chart of many is drawn when all have answered: a drawing costs more than an answer does.
    const partly = setInterval(() => this.drawFresh(), PARTLY);
    try {
      const answers = await Promise.allSettled([
        ...wholes.map((asked) => this.askWhole(asked, view, signal)),
        ...tails.map((asked) => this.askTail(asked, view, signal)),
      ]);
      for (const answer of answers) if (answer.status === "rejected") throw answer.reason;
    } finally {
      clearInterval(partly);
      this.drawFresh();
    }
  }

  drawFresh() {
    for (const chart of this.fresh) this.draw(chart);
    this.fresh.clear();
  }

  /**
   * How many buckets of each source *chart* is drawn of; for one source more or less the same.
   *
   * @param {Chart} chart
   */
  points(chart) {
    const doublings = Math.floor(Math.log2(this.sources.length / LINES_FULL));
    return Math.ceil(chart.points / 2 ** Math.max(0, doublings));
  }

  /**
   * What has to be asked, in as few questions as can be: sources of which the same charts want the
   * same share one.
   *
   * @param {NonNullable<Charts["view"]>} view
   */
  questions(view) {
    const now = performance.now();
    /** @type {Map<string, Asked>} */
    const wholes = new Map();
    /** @type {Map<string, Asked>} */
    const tails = new Map();
    for (const source of this.sources) {
      const version = this.versions.get(source.run) ?? 0;
      /** @type {Map<number, Chart[]>} charts to ask for whole, by their points, and from some x on */
      const whole = new Map();
      /** @type {Map<number, Chart[]>} */
      const tail = new Map();
      for (const chart of this.seen.values()) {
        const held = this.held.get(chart)?.get(source.key);
        const points = this.points(chart);
        const same = held && held.question === view.question && held.points >= points;
        if (same && held.version === version) continue;
        const grows = same && held.cut?.count.length && !view.range && !view.log.includes("x") && metricOver(view) === null
          && now - held.whole < WHOLE && held.cut.count.length < held.points * JOINED_MAX;
        if (grows && held.cut) put(tail, held.cut.x_first[held.cut.count.length - 1], chart);
        else put(whole, points, chart);
      }
      if (tail.size > TAILS_MAX) {
        for (const charts of tail.values()) for (const chart of charts) put(whole, this.points(chart), chart);
        tail.clear();
      }
      /** @type {(questions: Map<string, Asked>, points: number, charts: Chart[], start: number) => void} */
      const share = (questions, points, charts, start) => {
        const name = JSON.stringify([points, charts.map(({ metric }) => metric)]);
        const asked = questions.get(name) ?? { charts, points, of: [] };
        asked.of.push({ source, version, start });
        questions.set(name, asked);
      };
      for (const [points, charts] of whole) share(wholes, points, charts, NaN);
      for (const [start, charts] of tail) share(tails, 0, charts, start);
    }
    return { wholes: [...wholes.values()], tails: [...tails.values()] };
  }

  /**
   * @param {Asked} asked
   * @param {NonNullable<Charts["view"]>} view
   * @param {AbortSignal} signal
   */
  async askWhole(asked, view, signal) {
    const { points, charts, of } = asked;
    const whole = performance.now();
    const found = await askCuts(of.map(({ source }) => source), charts.map(({ metric }) => metric), points, view, signal);
    this.keep(asked, found, signal, (version, _, cut) => (
      { question: view.question, points, version, whole, cut, trace: cut && trace(cut, view.range) }));
  }

  /**
   * @param {Asked} asked
   * @param {NonNullable<Charts["view"]>} view
   * @param {AbortSignal} signal
   */
  async askTail(asked, view, signal) {
    const { charts, of } = asked;
    const found = await askTails(of.map(({ source, start }) => [source, start]), charts.map(({ metric }) => metric), view, signal);
    this.keep(asked, found, signal, (version, before, one) => {
      if (!before) return null;
      const cut = before.cut && one ? joined([before.cut, one]) : before.cut;
      return { ...before, version, cut, trace: cut && trace(cut, view.range) };
    });
  }

  /**
   * Hold what was found of what was asked, for the charts that are still there.
   *
   * @param {Asked} asked
   * @param {import("./cuts.js").Found} found
   * @param {AbortSignal} signal
   * @param {(version: number, before: Held | undefined, cut: Cut | null) => Held | null} take
   */
  keep({ charts, of }, { cuts, refused }, signal, take) {
    if (signal.aborted) return;
    // What cannot be drawn so, too many rows over another metric say, leaves the view as it is.
    if (refused) {
      this.said.hidden = false;
      write(this.said, refused);
    }
    for (const chart of charts) {
      if (this.seen.get(chart.metric) !== chart) continue;
      const all = this.held.get(chart) ?? new Map();
      this.held.set(chart, all);
      for (const { source, version } of of) {
        const taken = take(version, all.get(source.key), cuts.get(source.key)?.get(chart.metric) ?? null);
        if (taken) all.set(source.key, taken);
      }
      this.fresh.add(chart);
    }
  }

  /**
   * Draw what is held for *chart*; until anything is, it stays as it was.
   *
   * @param {Chart} chart
   */
  draw(chart) {
    const { view } = this;
    const all = this.held.get(chart);
    if (!view || !all) return;
    const known = this.sources.filter(({ key }) => all.get(key)?.question === view.question);
    if (known.length === 0) return;
    chart.show(known.flatMap(({ key, name, colour, dash }) => {
      const drawn = all.get(key)?.trace;
      return drawn ? { key, name, colour, dash, trace: drawn } : [];
    }), view);
  }

  close() {
    this.scope.close();
  }
}

/**
 * Sort metrics into sections: by what stands before the first slash or dot in their names.
 *
 * @param {string[]} names
 * @returns {Map<string, string[]>} in the order of the names; those without a prefix come first
 */
export function sectionsOf(names) {
  /** @type {Map<string, string[]>} */
  const sections = new Map();
  for (const name of names) {
    const at = name.search(/[./]/);
    put(sections, at > 0 ? name.slice(0, at) : "Metrics", name);
  }
  const bare = sections.get("Metrics");
  return bare ? new Map([["Metrics", bare], ...sections]) : sections;
}

/**
 * @template Key, Item
 * @param {Map<Key, Item[]>} lists
 * @param {Key} key
 * @param {Item} item
 */
function put(lists, key, item) {
  const list = lists.get(key);
  if (list) list.push(item);
  else lists.set(key, [item]);
}
