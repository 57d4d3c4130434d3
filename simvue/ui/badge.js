/* Badge: the small marks of a run that every view shows: status, colour, tags, times. */

import { hue } from "./chart.js";
import { element, write } from "./elements.js";
import { age, calendar, duration, moment } from "./format.js";

const MEANING = {
  created: "registered, not started yet",
  running: "running now",
  completed: "ended by itself",
  failed: "ended with an error",
  terminated: "stopped from outside",
  lost: "silent for longer than it said it would be",
};

/** Bring *target* (a span) to the status of a run. */
export function status(target, run) {
  target.className = `status ${run.status}`;
  target.title = MEANING[run.status] ?? "";
  write(target, run.status);
}

/** The colour of a run, as a dot. */
export function colourDot(run) {
  const made = element("span", { class: "dot", "aria-hidden": "true" });
  made.style.background = hue(run.id);
  return made;
}

/** A run's tags. */
export function tags(run) {
  return (run.tags ?? []).map((tag) => element("span", { class: "tag" }, tag));
}

/** Bring *target* (a time element) to a moment of the wire, said as a person says it. */
export function since(target, text) {
  const when = moment(text);
  target.dateTime = text ?? "";
  target.title = when === null ? "" : calendar(when);
  write(target, when === null ? "–" : age(when));
}

/** How long a run has run, or ran: live while it runs, a dash where nobody knows. */
export function span(run) {
  const started = moment(run.started);
  const ended = moment(run.endtime) ?? (run.status === "running" ? Date.now() : null);
  return started === null || ended === null ? "–" : duration((ended - started) / 1000);
}
