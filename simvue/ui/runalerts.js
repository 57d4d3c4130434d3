/* Run alerts: what a run is watched for, and how each alert stands on it. */

import { element, keep, write } from "./elements.js";

/**
 * @param {import("./app.js").Page} page
 * @returns {import("./run.js").Part}
 */
export function open(page) {
  const empty = element("p", { class: "empty card", hidden: true }, "No alert watches this run.");
  const list = element("ul", { class: "watches" });
  page.target.append(empty, list);
  return {
    follow() {},
    learn({ run }) {
      empty.hidden = run.alerts.length > 0;
      keep(list, run.alerts, ({ alert }) => alert.id, ({ alert }) => element("li", { class: "card" },
        element("span", { class: "verdict" }), element("h3", { dir: "auto" }, alert.name),
        element("p", {}, definition(alert)), alert.description && element("p", { class: "total", dir: "auto" }, alert.description)),
      (item, { alert, status }) => {
        const verdict = /** @type {HTMLElement} */ (item.firstElementChild);
        verdict.className = `verdict ${status ?? "open"}`;
        write(verdict, alert.enabled ? status ?? "not yet known" : "turned off");
      });
    },
  };
}

/**
 * Say what an alert asks for, in words.
 *
 * @param {import("./api.js").Alert} alert
 */
function definition({ source, alert }) {
  if (source === "user") return "Whoever logs says how it stands.";
  if (source === "events") return `An event contains “${alert?.pattern ?? ""}”; looked for every ${alert?.frequency ?? "?"} min.`;
  if (source !== "metrics" || !alert) return source;
  const of = `${alert.aggregation ?? "average"} of ${alert.metric} over ${alert.window ?? "?"} min`;
  const rule = {
    "is above": `is above ${alert.threshold}`, "is below": `is below ${alert.threshold}`,
    "is inside range": `is from ${alert.range_low} to ${alert.range_high}`,
    "is outside range": `is not from ${alert.range_low} to ${alert.range_high}`,
  }[/** @type {string} */ (alert.rule)] ?? alert.rule;
  return `The ${of} ${rule}.`;
}
