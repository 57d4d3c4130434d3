/*
 * Events: what a run said in words, the newest at the end and followed while one is there.
 *
 * Every event is one line of the same height, so the lines on screen are elements and the
 * others are not; a click or Enter shows all of an event.
 */

import { listEvents } from "./api.js";
import { openDialog } from "./dialog.js";
import { element, fill, keep, write } from "./elements.js";
import { calendar, many, moment } from "./format.js";
import { Poll } from "./poll.js";

/** @typedef {import("./api.js").Event} Event */

/** Events in one request. */
const PAGE = 200;

/** Pages kept at hand. */
const PAGES_MAX = 20;

/** Pixels of a line; run.css has the same number. */
const LINE = 24;

/** Lines that a browser can scroll over; of more, the newest. */
const LINES_MAX = 1_000_000;

/** Lines drawn beyond each edge. */
const BEYOND = 10;

/** Levels that hide the lesser ones; below the first there is only `debug`. */
const LEVELS = ["info", "warning", "error", "critical"];

/** Milliseconds between looks. */
const REFRESH = 500;

/**
 * @param {import("./app.js").Page} page
 * @param {string} id
 * @returns {import("./run.js").Part}
 */
export function open(page, id) {
  return new Events(page, id);
}

class Events {
  /**
   * @param {import("./app.js").Page} page
   * @param {string} id
   */
  constructor(page, id) {
    this.id = id;
    this.page = page;
    /** @type {{ find: string, level: string } | null} */
    this.wanted = null;
    this.count = 0;
    /** @type {Map<number, Event[]>} by number of page; the one used last stands last */
    this.pages = new Map();
    this.following = true;
    this.find = element("input", {
      type: "search", class: "find", placeholder: "Find in messages   /", "aria-label": "Find in messages",
      oninput: () => page.go({ find: this.find.value }, true),
    });
    this.level = element("select", { "aria-label": "Levels", onchange: () => page.go({ level: this.level.value }) },
      element("option", { value: "" }, "All levels"),
      ...LEVELS.map((level) => element("option", { value: level }, level === LEVELS.at(-1) ? level : `${level} and graver`)));
    this.total = element("p", { class: "total", role: "status" });
    this.tail = element("button", { type: "button", class: "toggle", "aria-pressed": "true", onclick: () => this.turn(!this.following) }, "Follow");
    this.list = element("ol", { class: "events" });
    this.log = element("div", {
      class: "log card", tabindex: 0, "aria-label": "Events", role: "region", hidden: true, onscroll: () => this.scrolled(),
      onkeydown: (/** @type {KeyboardEvent} */ event) => this.press(event),
    }, this.list);
    fill(page.target, element("div", { class: "tools" }, this.find, this.level, this.total, this.tail), this.log);
    this.poll = page.scope.own(new Poll((signal) => this.refresh(signal), {
      pause: () => REFRESH, heard: page.heard, interest: { topics: ["rows"], runs: [id] },
    }));
    const size = new ResizeObserver(() => this.draw());
    size.observe(this.log);
    page.scope.ending(() => size.disconnect());
  }

  /** @param {URLSearchParams} query */
  follow(query) {
    const find = query.get("find") ?? "";
    const level = query.get("level") ?? "";
    if (document.activeElement !== this.find) this.find.value = find;
    this.level.value = level;
    if (find === this.wanted?.find && level === this.wanted.level) return;
    this.wanted = { find, level };
    this.pages.clear();
    this.poll.now();
  }

  /** @param {boolean} following */
  turn(following) {
    this.following = following;
    this.tail.setAttribute("aria-pressed", String(following));
    if (following) this.log.scrollTop = this.log.scrollHeight;
  }

  /**
   * Walk along the lines with the arrow keys, from the newest or the first on screen on.
   *
   * @param {KeyboardEvent} event
   */
  press(event) {
    const way = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    const lines = /** @type {HTMLElement[]} */ (Array.from(this.list.children));
    const at = lines.findIndex((line) => line.contains(/** @type {Node} */ (event.target)));
    if (way) {
      const { top } = this.log.getBoundingClientRect();
      const begin = this.following ? lines.at(-1) : lines.find((line) => line.getBoundingClientRect().top >= top);
      (at < 0 ? begin : lines[at + way])?.focus();
      if (way < 0) this.turn(false);
    } else if (event.key === "Enter") lines[at]?.click();
    else return;
    event.preventDefault();
  }

  scrolled() {
    const end = this.log.scrollHeight - this.log.clientHeight - this.log.scrollTop < LINE;
    if (end !== this.following) this.turn(end);
    this.draw();
    if (this.missing().length) this.poll.now();
  }

  /** The first event that can be reached. */
  get first() {
    return Math.max(0, this.count - LINES_MAX);
  }

  /** The numbers of events on screen: [from, to). */
  get window() {
    const top = Math.floor(this.log.scrollTop / LINE) - BEYOND;
    const lines = Math.ceil(this.log.clientHeight / LINE) + 2 * BEYOND;
    const from = this.first + Math.max(0, top);
    return [from, Math.min(this.count, from + lines)];
  }

  /** The pages on screen that are not at hand in full. */
  missing() {
    const [from, to] = this.window;
    const found = [];
    for (let page = Math.floor(from / PAGE); page * PAGE < to; page++) {
      const held = this.pages.get(page)?.length ?? 0;
      if (held < Math.min(PAGE, this.count - page * PAGE)) found.push(page);
    }
    return found;
  }

  /** @param {AbortSignal} signal */
  async refresh(signal) {
    const { wanted } = this;
    if (wanted === null) return;
    const ask = async (/** @type {number} */ page) => {
      const { count, data } = await listEvents(this.id, { ...wanted, start: page * PAGE, count: PAGE }, signal);
      this.count = count;
      this.pages.delete(page);
      this.pages.set(page, data);
    };
    // The page on which the newest event was: its answer says how many there are now.
    await ask(Math.max(0, Math.ceil(this.count / PAGE) - 1));
    this.lay();
    for (let missing = this.missing(); missing.length; missing = this.missing()) {
      for (const page of missing) await ask(page);
      this.lay();
    }
    for (const page of [...this.pages.keys()].slice(0, -PAGES_MAX)) this.pages.delete(page);
  }

  lay() {
    this.log.hidden = false;
    this.list.style.height = `${(this.count - this.first) * LINE}px`;
    if (this.following) this.log.scrollTop = this.log.scrollHeight;
    write(this.total, many(this.count, "event"));
    this.draw();
  }

  draw() {
    const [from, to] = this.window;
    /** @type {{ number: number, event: Event }[]} */
    const shown = [];
    for (let number = from; number < to; number++) {
      const event = this.pages.get(Math.floor(number / PAGE))?.[number % PAGE];
      if (event) shown.push({ number, event });
    }
    keep(this.list, shown, ({ number }) => `${Object.values(this.wanted ?? {})} ${number}`, ({ event }) => line(event), (made, { number }) => {
      made.style.transform = `translateY(${(number - this.first) * LINE}px)`;
    });
  }
}

/** @param {Event} event */
function line(event) {
  const { message, timestamp, log_level: level } = event;
  const first = message.split("\n", 1)[0];
  return element("li", { class: level ?? "info", tabIndex: -1, onclick: () => whole(event) },
    element("time", { dateTime: timestamp }, calendar(/** @type {number} */ (moment(timestamp)))),
    element("span", { class: "level" }, level ?? "info"),
    element("span", { class: "message", dir: "auto" }, first),
    first.length < message.length && element("button", {
      type: "button", class: "plain", "aria-label": "Show all of this event",
    }, "…"));
}

/** @param {Event} event */
function whole({ message, timestamp, log_level: level }) {
  // A click that ended a selection is no wish to read on.
  if (String(getSelection())) return;
  openDialog(`${level ?? "info"} · ${timestamp.replace("T", " ")} UTC`, element("pre", { class: "message", dir: "auto" }, message));
}
