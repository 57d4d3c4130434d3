/*
 * Charts: a run's metrics, one chart each, all over the same range of x.
 *
 * Only charts that can be seen are asked for, all of them in few requests, each as many
 * buckets as it has pixels: a page costs the same for a thousand rows and for a billion.
 */

import { series } from "./api.js";
import { Chart, hue } from "./chart.js";
import { element, keep, write } from "./elements.js";
import { Poll } from "./poll.js";
import { NOTHING, columns } from "./series.js";

/** Milliseconds between looks at the series while the run may go on, and once it has ended. */
const REFRESH = { live: 1_000, ended: 15_000 };

/** Metrics in one request: their names must fit in a URL of a few thousand letters. */
const BATCH = 24;

/** Part of a zoomed range that is asked for beyond each of its ends, so that lines leave the chart. */
const MARGIN = 0.1;

const XAXES = [["step", "Step"], ["time", "Time since start"], ["timestamp", "Wall clock"]];

export class Charts {
  constructor(panel, id, { go, heard }) {
    this.id = id;
    this.go = go;
    this.charts = new Map();
    this.seen = new Set();
    this.names = null;
    this.ended = false;

    this.find = element("input", {
      type: "search", class: "find", placeholder: "Find a metric   /", "aria-label": "Find a metric",
      oninput: () => go({ find: this.find.value || null }, true),
    });
    this.xaxis = element("select", {
      id: "xaxis", onchange: () => go({ x: this.xaxis.value, from: null, to: null }),
    }, ...XAXES.map(([value, title]) => element("option", { value }, title)));
    this.log = element("input", {
      type: "checkbox", onchange: () => go({ y: this.log.checked ? "log" : null }),
    });
    this.whole = element("button", {
      type: "button", hidden: true, onclick: () => this.reset(),
    }, "Whole range");
    this.empty = element("p", { class: "empty card", hidden: true });
    this.grid = element("div", { class: "grid" });
    panel.append(
      element("div", { class: "tools" }, this.find,
        element("label", {}, "x axis ", this.xaxis),
        element("label", {}, this.log, " log y"), this.whole),
      this.empty, this.grid);

    this.watch = new IntersectionObserver((entries) => this.look(entries), { rootMargin: "200px" });
    this.shade = matchMedia("(prefers-color-scheme: dark)");
    this.restyle = () => { for (const chart of this.charts.values()) chart.restyle(); };
    this.shade.addEventListener("change", this.restyle);
    this.slash = (event) => this.press(event);
    document.addEventListener("keydown", this.slash);
    this.poll = new Poll((signal) => this.refresh(signal),
      () => (this.ended ? REFRESH.ended : REFRESH.live), heard);
  }

  /** Follow the URL's query: find, x, y, from and to, wide. */
  follow(query) {
    const number = (name) => (query.has(name) ? Number(query.get(name)) : NaN);
    const [from, to] = [number("from"), number("to")];
    this.view = {
      find: (query.get("find") ?? "").toLowerCase(),
      xaxis: XAXES.some(([name]) => name === query.get("x")) ? query.get("x") : "step",
      y: query.get("y"),
      range: from < to ? [from, to] : null,
      wide: query.get("wide"),
    };
    if (document.activeElement !== this.find) this.find.value = query.get("find") ?? "";
    this.xaxis.value = this.view.xaxis;
    this.log.checked = this.view.y === "log";
    this.whole.hidden = this.view.range === null;
    this.lay();
    this.poll.now();
  }

  /** Hear how the run is and which metrics it has. */
  learn(run, names) {
    // A run that ends is looked at once more at once: its last rows came with its end.
    const ended = run.status !== "running";
    const turned = ended !== this.ended;
    this.ended = ended;
    this.names = names;
    this.lay();
    if (turned) this.poll.now();
  }

  /** Lay out a chart for each metric that fits the search. */
  lay() {
    if (!this.names || !this.view) return;
    const { find, wide } = this.view;
    const wanted = this.names.filter((name) => name.toLowerCase().includes(find));
    for (const [name, chart] of this.charts) {
      if (wanted.includes(name)) continue;
      this.watch.unobserve(chart.element);
      this.seen.delete(chart);
      this.charts.delete(name);
      chart.close();
    }
    keep(this.grid, wanted, (name) => name, (name) => this.make(name), (card, name) => {
      card.classList.toggle("wide", name === wide);
    });
    this.empty.hidden = wanted.length > 0;
    write(this.empty, this.names.length
      ? "No metric fits." : "No metrics yet; the first values appear here by themselves.");
  }

  make(name) {
    const chart = new Chart(name, hue(this.id), {
      zoom: (from, to) => this.go({ from: String(from), to: String(to) }),
      reset: () => this.reset(),
      expand: () => this.go({ wide: this.view.wide === name ? null : name }, true),
    });
    this.charts.set(name, chart);
    chart.element.chart = chart;
    this.watch.observe(chart.element);
    return chart.element;
  }

  look(entries) {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting) this.seen.add(target.chart);
      else this.seen.delete(target.chart);
    }
    if (entries.some((entry) => entry.isIntersecting)) this.poll.now();
  }

  reset() {
    if (this.view.range) this.go({ from: null, to: null });
  }

  async refresh(signal) {
    if (!this.view) return;
    const { view } = this;
    const { xaxis, range } = view;
    const seen = [...this.seen];
    const batches = [];
    // Charts of one width share a request; a widened one asks for its own number of buckets.
    for (const points of new Set(seen.map((chart) => chart.points))) {
      const same = seen.filter((chart) => chart.points === points);
      for (let i = 0; i < same.length; i += BATCH) batches.push([points, same.slice(i, i + BATCH)]);
    }
    await Promise.all(batches.map(async ([points, charts]) => {
      const query = { metrics: charts.map((chart) => chart.metric), xaxis, points };
      if (range) {
        const margin = (range[1] - range[0]) * MARGIN;
        // The server counts wall-clock in microseconds, a chart in seconds.
        const unit = xaxis === "timestamp" ? 1e6 : 1;
        query.start = (range[0] - margin) * unit;
        query.end = (range[1] + margin) * unit;
        query.points = Math.ceil(points * (1 + 2 * MARGIN));
      }
      const found = await series(this.id, query, signal);
      if (view !== this.view) return;
      for (const chart of charts) {
        if (!this.charts.has(chart.metric)) continue;
        const buckets = found[chart.metric];
        chart.show(buckets ? columns(buckets, xaxis, range) : NOTHING, view);
      }
    }));
  }

  /** A slash goes to the search box, as in many places. */
  press(event) {
    if (event.key !== "/" || event.target.closest("input, select, textarea")) return;
    this.find.focus();
    event.preventDefault();
  }

  close() {
    this.poll.close();
    this.watch.disconnect();
    this.shade.removeEventListener("change", this.restyle);
    document.removeEventListener("keydown", this.slash);
    for (const chart of this.charts.values()) chart.close();
  }
}
