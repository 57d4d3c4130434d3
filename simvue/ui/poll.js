/*
 * Poll: an answer kept fresh: asked for again when the server says that it changed, or, while
 * nothing is heard from it, again and again; one question at a time, and none while nobody looks.
 */

import { hears, listen } from "./live.js";

/** Milliseconds between tries doubles from the poll's own pause up to this while nobody answers. */
const PAUSE_MAX = 30_000;

/** Milliseconds after which an answer is asked for again though nothing was heard: none is lost for good. */
const SLOW = 60_000;

/** @typedef {(signal: AbortSignal) => Promise<void>} Task */

export class Poll {
  /**
   * Run *task(signal)* now, and again when there is news of *interest*, *pause()* milliseconds
   * after it ended at the earliest.  Without an interest, or while the stream is down, it runs
   * after each pause.  *heard(error)* hears of errors, and of null when the task has succeeded.
   *
   * @param {Task} task
   * @param {object} options
   * @param {() => number} options.pause
   * @param {(error: unknown) => void} options.heard
   * @param {import("./live.js").Interest} [options.interest]
   */
  constructor(task, { pause, heard, interest }) {
    this.task = task;
    this.pause = pause;
    this.heard = heard;
    this.failures = 0;
    this.closed = false;
    this.stale = false;
    this.ended = 0;
    /** @type {AbortController | null} */
    this.flight = null;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
    this.live = Boolean(interest);
    this.ear = interest && listen(interest, () => this.news());
    this.seen = () => { if (!document.hidden) this.now(); };
    document.addEventListener("visibilitychange", this.seen);
    this.now();
  }

  /** Give up what is in flight and ask at once: the question has changed. */
  async now() {
    if (this.closed) return;
    clearTimeout(this.timer);
    this.flight?.abort();
    const flight = this.flight = new AbortController();
    this.stale = false;
    try {
      await this.task(flight.signal);
      if (flight.signal.aborted) return;
      this.failures = 0;
      this.heard(null);
    } catch (error) {
      if (flight.signal.aborted) return;
      this.failures += 1;
      this.heard(error);
    }
    this.flight = null;
    this.ended = performance.now();
    if (!this.closed && !document.hidden) this.plan();
  }

  /** Ask again soon: the answer may have changed.  What is in flight is left to arrive. */
  news() {
    this.stale = true;
    if (!this.flight && !document.hidden) this.plan();
  }

  plan() {
    clearTimeout(this.timer);
    const pause = Math.min(this.pause() * 2 ** Math.min(this.failures, 10), PAUSE_MAX);
    const still = this.live && hears() && !this.stale && !this.failures;
    const after = still ? Math.max(SLOW, pause) : pause;
    const spent = performance.now() - this.ended;
    this.timer = setTimeout(() => this.now(), Math.max(0, after - spent));
  }

  close() {
    this.closed = true;
    clearTimeout(this.timer);
    this.flight?.abort();
    this.ear?.close();
    document.removeEventListener("visibilitychange", this.seen);
  }
}
