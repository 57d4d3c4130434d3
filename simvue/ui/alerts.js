/* Alerts: what is watched, and where it is critical now, at /dashboard/alerts; `find` narrows. */

import { PAGE_MAX, listAll, listRuns, update } from "./api.js";
import { editAlert, inWords } from "./alertform.js";
import { complain } from "./dialog.js";
import { element, fill, keep, write } from "./elements.js";
import { integer, many } from "./format.js";
import { acts, askToRemove, listing } from "./listing.js";
import { Poll } from "./poll.js";
import { address, runAddress } from "./router.js";

/**
 * @typedef {import("./api.js").Alert} Alert
 * @typedef {import("./api.js").Run} Run
 */

/** Milliseconds between looks: the server judges a run once a minute. */
const PAUSE = 5_000;

/** Runs that are named under an alert; the table of runs has them all. */
const NAMED = 5;

/**
 * @param {import("./app.js").Page} page
 * @returns {import("./app.js").View}
 */
export function open(page) {
  let query = new URLSearchParams();
  /** @type {Alert[]} */
  let alerts = [];
  /** @type {Map<string, Run[]>} the runs on which an alert is critical, by its id */
  let critical = new Map();

  const total = element("p", { class: "total", role: "status" });
  const find = element("input", {
    type: "search", class: "find", placeholder: "Find an alert   /", "aria-label": "Find alerts",
    oninput: () => page.go({ find: find.value }, true),
  });
  const { rows, element: table } = listing("Alerts", ["Alert", "Critical when", "Now", "Watched"]);
  const add = () => editAlert(null, () => poll.now());
  const empty = element("div", { class: "card empty" }, element("h2", {}, "No alerts yet"),
    element("p", {}, "An alert watches a metric or the events of the runs that it is attached to, and can end a run. A simulation makes one with ",
      element("code", {}, "run.create_metric_threshold_alert(…)"), ", or you make one here and attach it on a run's page."),
    element("button", { type: "button", class: "button", onclick: add }, "New alert"));
  fill(page.target, element("div", { class: "head" }, element("h1", {}, "Alerts"), total,
    element("button", { type: "button", onclick: add }, "New alert"), find),
  table, empty);
  page.title("Alerts");

  const draw = () => {
    const wanted = (query.get("find") ?? "").toLowerCase();
    const shown = alerts.filter(({ name }) => name.toLowerCase().includes(wanted));
    const raised = shown.filter(({ id }) => critical.has(id)).length;
    write(total, `${many(shown.length, "alert")}${raised ? `, ${integer(raised)} critical` : ""}`);
    table.hidden = shown.length === 0;
    empty.hidden = alerts.length > 0;
    // What is critical comes first.
    const sorted = [...shown].sort((a, b) => Number(critical.has(b.id)) - Number(critical.has(a.id)));
    keep(rows, sorted, (alert) => JSON.stringify([alert, critical.get(alert.id)?.map(({ id, name }) => [id, name])]), row, (made, alert) => {
      // After a refusal the box says again what is.
      /** @type {HTMLInputElement} */ (made.querySelector("input")).checked = alert.enabled;
    });
  };

  const poll = page.scope.own(new Poll(async (signal) => {
    const [found, raised] = await Promise.all([listAll("alerts", signal), listRuns({
      filters: ["alert.status == critical"], count: PAGE_MAX, metrics: false, metadata: false, system: false,
    }, signal)]);
    alerts = found;
    critical = new Map();
    for (const run of raised.data) {
      for (const { alert, status } of run.alerts) {
        if (status === "critical") critical.set(alert.id, [...critical.get(alert.id) ?? [], run]);
      }
    }
    draw();
  }, { pause: () => PAUSE, heard: page.heard, interest: { topics: ["run"] } }));

  /** @param {Alert} alert */
  const row = (alert) => {
    const on = element("input", {
      type: "checkbox", checked: alert.enabled, "aria-label": `Watch ${alert.name}`,
      onchange: () => update("alerts", alert.id, { enabled: on.checked }).catch(complain).then(() => poll.now()),
    });
    return element("tr", {},
      element("th", { scope: "row" }, element("bdi", {}, alert.name),
        alert.description && element("div", {}, element("small", { dir: "auto" }, alert.description))),
      element("td", { class: alert.enabled ? "" : "off" }, element("bdi", {}, inWords(alert)),
        element("div", {}, element("small", {}, [
          alert.abort && "ends the run", alert.notification === "email" && "sends mail",
        ].filter(Boolean).join(", ")))),
      element("td", {}, ...standing(alert)),
      element("td", {}, on),
      acts("Delete …", alert.name, () => drop(alert), element("button", {
        type: "button", "aria-label": `Edit ${alert.name}`, onclick: () => editAlert(alert, () => poll.now()),
      }, "Edit"), " "));
  };

  /** @param {Alert} alert */
  const standing = (alert) => {
    const runs = critical.get(alert.id);
    if (!runs) return ["not critical"];
    const filter = [`alert.name == ${alert.name}`, "alert.status == critical"];
    return [
      element("a", { class: "critical", href: address("/dashboard/runs", { filter }) }, `critical on ${many(runs.length, "run")}`),
      element("ul", { class: "plainlist" }, ...runs.slice(0, NAMED).map((run) => (
        element("li", {}, element("a", { href: runAddress(run.id, { tab: "alerts" }) }, element("bdi", {}, run.name)))))),
    ];
  };

  /** @param {Alert} alert */
  const drop = (alert) => askToRemove({
    title: "Delete an alert", collection: "alerts", id: alert.id, done: () => poll.now(),
    what: [`This deletes ${alert.name} and takes it off every run. The runs stay.`],
  });

  return {
    follow(now) {
      query = now;
      if (document.activeElement !== find) find.value = query.get("find") ?? "";
      draw();
    },
  };
}
