/* Poll: ask again and again, one question at a time, and not at all while nobody looks. */

/** Milliseconds between tries doubles from the poll's own pause up to this while nobody answers. */
const PAUSE_MAX = 30_000;

export class Poll {
  /**
   * Run *task(signal)* now, and *pause()* milliseconds after each time it ended.  *failed(error)*
   * hears of errors, and of null when the task has succeeded.
   */
  constructor(task, pause, failed) {
    this.task = task;
    this.pause = pause;
    this.failed = failed;
    this.failures = 0;
    this.closed = false;
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
    try {
      await this.task(flight.signal);
      if (flight.signal.aborted) return;
      this.failures = 0;
      this.failed(null);
    } catch (error) {
      if (flight.signal.aborted) return;
      this.failures += 1;
      this.failed(error);
    }
    if (this.closed || document.hidden) return;
    const pause = Math.min(this.pause() * 2 ** Math.min(this.failures, 10), PAUSE_MAX);
    this.timer = setTimeout(() => this.now(), pause);
  }

  close() {
    this.closed = true;
    clearTimeout(this.timer);
    this.flight?.abort();
    document.removeEventListener("visibilitychange", this.seen);
  }
}
