/* Ticks: the runs whose check box is set, and those of them that charts leave out; both stand in the address. */

import { ids, idsMember } from "./router.js";

/** Runs that are ticked at once, at most: their ids stand in the address, some 7,000 letters. */
export const TICKED_MAX = 300;

export class Ticks {
  /**
   * @param {import("./source.js").Source} source
   * @param {import("./app.js").Page} page
   */
  constructor(source, page) {
    this.source = source;
    this.page = page;
    /** @type {Set<string>} */
    this.ticked = new Set();
    /** @type {Set<string>} */
    this.hidden = new Set();
    /** The line that was ticked last: where a range begins. */
    this.anchor = 0;
  }

  /** @param {URLSearchParams} query */
  follow(query) {
    this.ticked = new Set(ids(query, "runs"));
    this.hidden = new Set(ids(query, "hide"));
  }

  /**
   * Tick a line, or take its tick away; with *range* all lines since the last one.
   *
   * @param {number} index
   * @param {boolean} range
   */
  tick(index, range) {
    const line = this.source.at(index);
    if (line?.kind !== "run") return;
    const ticked = new Set(this.ticked);
    const on = !ticked.has(line.run.id);
    const [from, to] = range ? [Math.min(index, this.anchor), Math.max(index, this.anchor)] : [index, index];
    for (let i = from; i <= to; i++) {
      const found = this.source.at(i);
      if (found?.kind !== "run") continue;
      if (on) ticked.add(found.run.id);
      else ticked.delete(found.run.id);
    }
    this.anchor = index;
    this.only(ticked);
  }

  /** Tick all runs that fit, as many as an address holds; if some are ticked, none. */
  async tickAll() {
    if (this.ticked.size) {
      this.clear();
      return;
    }
    const { scope } = this.page;
    try {
      const runs = await this.source.runs(TICKED_MAX, scope.signal);
      this.only(runs.map(({ id }) => id));
    } catch (error) {
      if (!scope.closed) this.page.heard(error);
    }
  }

  /**
   * Turn the eye of a run.
   *
   * @param {string} run
   */
  hide(run) {
    const hidden = new Set(this.hidden);
    if (!hidden.delete(run)) hidden.add(run);
    this.page.go({ hide: idsMember(hidden) }, true);
  }

  clear() {
    this.only([]);
  }

  /** @param {Iterable<string>} runs */
  only(runs) {
    const kept = [...runs].slice(0, TICKED_MAX);
    const hidden = [...this.hidden].filter((run) => kept.includes(run));
    this.page.go({ runs: idsMember(kept), hide: idsMember(hidden) }, true);
  }
}
