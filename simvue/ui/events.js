/* Events: what a run said in words, the newest first, so that what is new needs no scrolling. */

import { listEvents } from "./api.js";
import { element, write } from "./elements.js";
import { calendar, many, moment } from "./format.js";
import { Poll } from "./poll.js";

/** Events asked for at once: what any server gives on one page. */
const PAGE = 100;

/** Milliseconds between looks. */
const REFRESH = 2_000;

export class Events {
  constructor(panel, id, { go, heard }) {
    this.id = id;
    this.heard = heard;
    this.wanted = null;
    // The list holds the events from number `first` up to, not including, number `next`.
    this.first = this.next = null;
    this.find = element("input", {
      type: "search", class: "find", placeholder: "Find in messages",
      "aria-label": "Find in messages",
      oninput: () => go({ find: this.find.value || null }, true),
    });
    this.count = element("p", { class: "total", role: "status" });
    this.list = element("ol", { class: "events card", hidden: true, reversed: true });
    this.earlier = element("button", {
      type: "button", class: "earlier", hidden: true, onclick: () => this.reach(),
    }, "Show earlier");
    panel.append(element("div", { class: "tools" }, this.find, this.count), this.list, this.earlier);
    this.poll = null;
  }

  /** Follow the URL's query: find. */
  follow(query) {
    const wanted = query.get("find") ?? "";
    if (document.activeElement !== this.find) this.find.value = wanted;
    if (wanted === this.wanted) return;
    this.wanted = wanted;
    this.first = this.next = null;
    this.list.replaceChildren();
    if (this.poll) this.poll.now();
    else this.poll = new Poll((signal) => this.refresh(signal), () => REFRESH, this.heard);
  }

  learn() {}

  ask(start, count, signal) {
    return listEvents(this.id, { find: this.wanted, start, count }, signal);
  }

  async refresh(signal) {
    if (this.next === null) {
      const { count } = await this.ask(0, 1, signal);
      this.first = this.next = Math.max(0, count - PAGE);
    }
    let found;
    do {
      found = await this.ask(this.next, PAGE, signal);
      this.next += found.data.length;
      this.list.prepend(...found.data.map(line).reverse());
    } while (found.data.length && this.next < found.count);
    this.list.hidden = this.next === this.first;
    this.earlier.hidden = this.first === 0;
    write(this.count, many(found.count, "event"));
  }

  /** Show one page more of what came before. */
  async reach() {
    const { wanted, first } = this;
    const start = Math.max(0, first - PAGE);
    try {
      const found = await this.ask(start, first - start);
      if (wanted !== this.wanted || first !== this.first) return;
      this.list.append(...found.data.map(line).reverse());
      this.first = start;
      this.earlier.hidden = start === 0;
    } catch (error) {
      this.heard(error);
    }
  }

  close() {
    this.poll?.close();
  }
}

function line({ message, timestamp, log_level: level }) {
  return element("li", { class: level ?? "info" },
    element("time", { dateTime: timestamp }, calendar(moment(timestamp))),
    element("span", { class: "level" }, level ?? "info"),
    element("span", { class: "message" }, message));
}
