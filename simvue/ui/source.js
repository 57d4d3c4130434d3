/*
 * Source: the runs that fit a question, as lines of a table that is longer than what is held.
 *
 * Usually the server sorts, filters and pages, and only the pages that are looked at are asked
 * for.  For what it cannot do, a regular expression over names and groups, the first HELD_MAX
 * runs that fit are held here.
 */

import { listRuns } from "./api.js";
import { groupsOf } from "./columns.js";

/**
 * @typedef {import("./api.js").Run} Run
 * @typedef {{ kind: "run", run: Run, key: string }} RunLine
 * @typedef {{ kind: "group", value: string, count: number, open: boolean, key: string }} GroupLine
 * @typedef {RunLine | GroupLine} Line
 *
 * @typedef {object} Question
 * @property {string[]} filters
 * @property {{ id: string, desc: boolean }[]} sorting
 * @property {RegExp | null} regex over names
 * @property {string | null} group a key
 * @property {{ metrics: boolean, metadata: boolean, system: boolean }} needs
 */

/** Runs in one request: more than a screen, and so few that a first paint waits for little. */
const PAGE = 50;

/** Runs in one request when many are wanted. */
const PAGE_LARGE = 500;

/** Pages kept at hand. */
const PAGES_MAX = 40;

/** Runs held for what the server cannot do: a second of waiting, and some megabytes (chosen). */
export const HELD_MAX = 2_000;

export class Source {
  constructor() {
    /** @type {Question} */
    this.question = { filters: [], sorting: [], regex: null, group: null, needs: { metrics: false, metadata: false, system: false } };
    /** Runs that fit what the server was asked. */
    this.total = 0;
    /** Lines of the table. */
    this.length = 0;
    /** Whether an answer has come at all. */
    this.known = false;
    /** @type {Map<number, Run[]>} by number of page; the one used last stands last */
    this.pages = new Map();
    /** @type {Run[] | null} */
    this.held = null;
    /** @type {Line[]} */
    this.lines = [];
    /** @type {Set<string>} values of groups that are closed */
    this.shut = new Set();
    /** Whether the pages at hand answer another question. */
    this.old = false;
  }

  /** Whether runs are held here, because the server cannot do what is asked. */
  get holds() {
    return this.question.regex !== null || this.question.group !== null;
  }

  /**
   * Ask something else.  What was there is shown until the first answer.
   *
   * @param {Question} question
   */
  ask(question) {
    this.question = question;
    this.old = true;
  }

  /**
   * Return a line of the table; undefined where none is at hand yet.
   *
   * @param {number} index
   * @returns {Line | undefined}
   */
  at(index) {
    if (this.held) return this.lines[index];
    const run = this.pages.get(Math.floor(index / PAGE))?.[index % PAGE];
    return run && { kind: "run", run, key: run.id };
  }

  /**
   * Bring the lines from *first* to *end* up to date.
   *
   * @param {number} first
   * @param {number} end
   * @param {AbortSignal} signal
   */
  async load(first, end, signal) {
    const { question } = this;
    if (this.holds) {
      const found = await this.fetch(0, HELD_MAX, signal);
      if (question !== this.question) return;
      this.pages.clear();
      this.held = found.data;
      this.total = found.count;
      this.arrange();
    } else {
      const numbers = [];
      for (let page = Math.floor(first / PAGE); page * PAGE < Math.max(end, 1); page++) numbers.push(page);
      const found = await Promise.all(numbers.map((page) => (
        listRuns({ ...this.asked(), start: page * PAGE, count: PAGE }, signal))));
      if (question !== this.question) return;
      if (this.old || this.held) this.pages.clear();
      this.held = null;
      numbers.forEach((page, i) => {
        this.pages.delete(page);
        this.pages.set(page, found[i].data);
      });
      for (const page of [...this.pages.keys()].slice(0, -PAGES_MAX)) this.pages.delete(page);
      this.total = this.length = found[found.length - 1].count;
    }
    this.old = false;
    this.known = true;
  }

  asked() {
    const { filters, sorting, needs } = this.question;
    return { filters, sorting, ...needs };
  }

  /**
   * Ask for up to *most* runs, from number *start* on, as the server has them.
   *
   * @param {number} start
   * @param {number} most
   * @param {AbortSignal} [signal]
   * @param {Partial<Question["needs"]>} [needs] beyond those of the question
   * @returns {Promise<import("./api.js").Page<Run>>}
   */
  async fetch(start, most, signal, needs = {}) {
    /** @type {Run[]} */
    const data = [];
    let count = Infinity;
    while (data.length < Math.min(most, count - start)) {
      const page = await listRuns({
        ...this.asked(), ...needs, start: start + data.length, count: Math.min(PAGE_LARGE, most - data.length),
      }, signal);
      count = page.count;
      data.push(...page.data);
      if (!page.data.length) break;
    }
    return { count, data };
  }

  /**
   * Return up to *most* of the runs that fit, in order.
   *
   * @param {number} most
   * @param {AbortSignal} [signal]
   * @returns {Promise<Run[]>}
   */
  async runs(most, signal) {
    const { data } = await this.fetch(0, this.question.regex ? HELD_MAX : most, signal);
    return this.fitting(data).slice(0, most);
  }

  /** @param {Run[]} runs */
  fitting(runs) {
    const { regex } = this.question;
    return regex ? runs.filter((run) => regex.test(run.name)) : runs;
  }

  /** Make the lines out of the runs that are held: a group's heading, then its runs if it is open. */
  arrange() {
    const fit = this.fitting(this.held ?? []);
    const { group } = this.question;
    if (group === null) {
      this.lines = fit.map((run) => ({ kind: "run", run, key: run.id }));
    } else {
      /** @type {Map<string, Run[]>} */
      const groups = new Map();
      for (const run of fit) {
        for (const value of groupsOf(run, group)) {
          const members = groups.get(value);
          if (members) members.push(run);
          else groups.set(value, [run]);
        }
      }
      const sorted = [...groups].sort(([a], [b]) => a.localeCompare(b, "en", { numeric: true }));
      this.lines = sorted.flatMap(([value, runs]) => {
        const open = !this.shut.has(value);
        /** @type {Line} */
        const heading = { kind: "group", value, count: runs.length, open, key: `group ${value}` };
        // A run with several tags stands in several groups, each time under a key of its own.
        return [heading, ...(open ? runs.map((run) => (
          /** @type {Line} */ ({ kind: "run", run, key: `${run.id} ${value}` }))) : [])];
      });
    }
    this.length = this.lines.length;
  }

  /**
   * Open or close a group.
   *
   * @param {string} value
   */
  toggle(value) {
    if (!this.shut.delete(value)) this.shut.add(value);
    this.arrange();
  }
}
