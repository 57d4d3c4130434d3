/* Alert form: one alert in words, and the dialog in which it is made or changed. */

import { create, update } from "./api.js";
import { ask } from "./dialog.js";
import { element } from "./elements.js";
import { number } from "./format.js";

/** @typedef {import("./api.js").Alert} Alert */

/** The kinds of alerts, and what each asks for. */
const KINDS = {
  threshold: "A metric above or below a threshold",
  range: "A metric inside or outside a range",
  events: "A text in an event",
  user: "Set by people or scripts",
};

const AGGREGATIONS = ["average", "sum", "at least one", "all"];

/** Minutes, as the server has them by default. */
const MINUTES = 5;

/**
 * @param {Alert} alert
 * @returns {keyof typeof KINDS}
 */
function kindOf(alert) {
  if (alert.source !== "metrics") return alert.source;
  return alert.alert && "threshold" in alert.alert ? "threshold" : "range";
}

/**
 * Say when an alert is critical.
 *
 * @param {Alert} alert
 */
export function inWords(alert) {
  const rule = alert.alert ?? {};
  const kind = kindOf(alert);
  if (kind === "user") return "somebody says so";
  if (kind === "events") return `an event holds “${rule.pattern}”`;
  const limit = kind === "threshold" ? number(rule.threshold) : `${number(rule.range_low)} to ${number(rule.range_high)}`;
  return `${rule.aggregation} of ${rule.metric} ${rule.rule} ${limit}, over ${rule.window} min`;
}

/**
 * Ask for an alert, and make or change it.
 *
 * @param {Alert | null} alert null for a new one
 * @param {(id: string) => void} done
 */
export function editAlert(alert, done) {
  const rule = alert?.alert ?? {};
  const name = element("input", { type: "text", required: true, autocomplete: "off", value: alert?.name ?? "" });
  const description = element("input", { type: "text", autocomplete: "off", value: alert?.description ?? "" });
  const kind = select(KINDS, alert ? kindOf(alert) : "threshold");
  // The server holds that the source of an alert stays; its kind would change it.
  kind.disabled = alert !== null;
  const metric = element("input", { type: "text", autocomplete: "off", value: rule.metric ?? "", placeholder: "loss, or loss.*" });
  const above = select(named(["is above", "is below"]), rule.rule);
  const outside = select(named(["is outside range", "is inside range"]), rule.rule);
  const threshold = numeric(rule.threshold);
  const low = numeric(rule.range_low);
  const high = numeric(rule.range_high);
  const aggregation = select(named(AGGREGATIONS), rule.aggregation);
  const window = numeric(rule.window ?? MINUTES);
  const frequency = numeric(rule.frequency ?? MINUTES);
  const pattern = element("input", { type: "text", autocomplete: "off", value: rule.pattern ?? "" });
  const abort = element("input", { type: "checkbox", checked: Boolean(alert?.abort) });
  const email = element("input", { type: "checkbox", checked: alert?.notification === "email" });

  const parts = {
    metric: element("fieldset", {}, label("Metric", metric), label("Of its values, the", aggregation), label("over the last minutes", window)),
    threshold: element("fieldset", {}, label("Rule", above), label("Threshold", threshold)),
    range: element("fieldset", {}, label("Rule", outside), label("From", low), label("To", high)),
    events: element("fieldset", {}, label("Text", pattern)),
    often: element("fieldset", {}, label("Looked at every … minutes", frequency)),
  };
  /** @type {{ [kind: string]: (keyof typeof parts)[] }} */
  const wanted = { threshold: ["metric", "threshold", "often"], range: ["metric", "range", "often"], events: ["events", "often"], user: [] };
  const turn = () => {
    for (const [part, fields] of Object.entries(parts)) {
      // A field that is not wanted is not required either.
      fields.hidden = fields.disabled = !wanted[kind.value].includes(/** @type {any} */ (part));
    }
  };
  kind.addEventListener("change", turn);
  for (const field of [metric, threshold, low, high, window, frequency, pattern]) field.required = true;
  turn();

  const definition = () => {
    const often = { frequency: Number(frequency.value) };
    if (kind.value === "events") return { pattern: pattern.value, ...often };
    const limits = kind.value === "threshold"
      ? { rule: above.value, threshold: Number(threshold.value) }
      : { rule: outside.value, range_low: Number(low.value), range_high: Number(high.value) };
    return { metric: metric.value, aggregation: aggregation.value, window: Number(window.value), ...often, ...limits };
  };

  ask(alert ? "Edit an alert" : "New alert", {
    content: [
      label("Name", name), label("Description", description), label("Kind", kind), ...Object.values(parts),
      element("label", { class: "check" }, abort, "End the run when it is critical"),
      element("label", { class: "check" }, email, "Send mail"),
    ],
    verb: alert ? "Save" : "Make it",
    act: async () => {
      const members = {
        name: name.value, description: description.value || null, abort: abort.checked,
        notification: email.checked ? "email" : "none",
        ...(kind.value !== "user" && { alert: definition() }),
      };
      if (alert) await update("alerts", alert.id, members);
      const source = kind.value === "threshold" || kind.value === "range" ? "metrics" : kind.value;
      done(alert ? alert.id : (await create("alerts", { ...members, source, enabled: true })).id);
    },
  });
}

/**
 * @param {string} words
 * @param {HTMLElement} field
 */
function label(words, field) {
  return element("label", {}, words, field);
}

/** @param {number | undefined} value */
function numeric(value) {
  return element("input", { type: "number", step: "any", value: value ?? "" });
}

/**
 * @param {Record<string, string>} options value to words
 * @param {string | undefined} value
 */
function select(options, value) {
  const made = element("select", {}, ...Object.entries(options).map(([key, words]) => element("option", { value: key }, words)));
  if (value !== undefined && value in options) made.value = value;
  return made;
}

/** @param {string[]} words */
function named(words) {
  return Object.fromEntries(words.map((word) => [word, word]));
}
