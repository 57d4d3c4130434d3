/* Badge: the small marks of a run that every view shows: status, colour, tags, times. */

import { cutDot, dash, tint } from "./colour.js";
import { element, write } from "./elements.js";
import { age, calendar, duration, moment } from "./format.js";

/** @typedef {import("./api.js").Run} Run */

/** @type {{ [status in import("./api.js").Status]: string }} */
const MEANING = {
  created: "registered, not started yet",
  running: "running now",
  completed: "ended by itself",
  failed: "ended with an error",
  terminated: "stopped from outside",
  lost: "silent for longer than it said it would be",
};

export const STATUSES = /** @type {import("./api.js").Status[]} */ (Object.keys(MEANING));

/**
 * Bring *target* to the status of a run.
 *
 * @param {HTMLElement} target
 * @param {Pick<Run, "status">} run
 */
export function status(target, run) {
  target.className = `status ${run.status}`;
  target.title = MEANING[run.status] ?? "";
  write(target, run.status);
}

/**
 * Tell whether more is to be expected of a run: a lost one may come back.
 *
 * @param {Pick<Run, "status">} run
 */
export function live(run) {
  return run.status === "running" || run.status === "created" || run.status === "lost";
}

/**
 * The colour of a run, as a dot.
 *
 * @param {Pick<Run, "id">} run
 */
export function colourDot(run) {
  const made = element("span", { class: "dot", "aria-hidden": "true" });
  made.style.background = cutDot(tint(run.id), dash(run.id));
  return made;
}

/**
 * A tag, with the colour that it was given.  The colour only edges it: any text is readable on
 * the page's own ground, and not on any colour.
 *
 * @param {string} name
 * @param {string} [colour] as CSS writes one
 */
export function tagMark(name, colour) {
  const made = element("span", { class: "tag", dir: "auto" }, name);
  // A colour is whatever somebody sent: the browser takes it if it is one.
  if (colour) made.style.setProperty("--tag", CSS.supports("color", colour) ? colour : "");
  return made;
}

/**
 * A run's tags.
 *
 * @param {Pick<Run, "tags">} run
 * @param {Map<string, string>} [colours] by name
 */
export function tags(run, colours) {
  return (run.tags ?? []).map((tag) => tagMark(tag, colours?.get(tag)));
}

/**
 * Bring *target* to a moment of the wire, said as a person says it.
 *
 * @param {HTMLTimeElement} target
 * @param {import("./api.js").Moment} text
 */
export function since(target, text) {
  const when = moment(text);
  target.dateTime = text ?? "";
  target.title = when === null ? "" : calendar(when);
  write(target, when === null ? "–" : age(when));
}

/**
 * How long a run has run, or ran: live while it runs, a dash where nobody knows.
 *
 * @param {Run} run
 */
export function span(run) {
  const seconds = spanSeconds(run);
  return seconds === null ? "–" : duration(seconds);
}

/**
 * The seconds that a run has run, or ran; null where nobody knows.
 *
 * @param {Run} run
 */
export function spanSeconds(run) {
  const started = moment(run.started);
  const ended = moment(run.endtime) ?? (run.status === "running" ? Date.now() : null);
  return started === null || ended === null ? null : (ended - started) / 1000;
}
