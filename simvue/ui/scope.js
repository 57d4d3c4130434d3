/*
 * Scope: what one part of the page has open: timers, listeners, streams, questions in flight.
 *
 * Whoever opens something opens it on a scope, and closing the scope closes it all, so a view
 * that is left leaves nothing behind.
 */

export class Scope {
  constructor() {
    /** @type {Set<() => void>} */
    this.endings = new Set();
    this.controller = new AbortController();
  }

  /** Aborted when the scope is closed: for `fetch` and for `addEventListener`. */
  get signal() {
    return this.controller.signal;
  }

  get closed() {
    return this.signal.aborted;
  }

  /**
   * Close *thing* with this scope.
   *
   * @template {{ close(): void }} Thing
   * @param {Thing} thing
   * @returns {Thing}
   */
  own(thing) {
    this.ending(() => thing.close());
    return thing;
  }

  /**
   * Run *end* when the scope is closed; at once if it is already.
   *
   * @param {() => void} end
   */
  ending(end) {
    if (this.closed) end();
    else this.endings.add(end);
  }

  /**
   * Listen to *target* while the scope is open.
   *
   * @param {EventTarget} target
   * @param {string} type
   * @param {(event: any) => void} heard
   * @param {AddEventListenerOptions} [options]
   */
  listen(target, type, heard, options = {}) {
    target.addEventListener(type, heard, { ...options, signal: this.signal });
  }

  /**
   * Run *step* every so many *milliseconds*.
   *
   * @param {number} milliseconds
   * @param {() => void} step
   */
  every(milliseconds, step) {
    const timer = setInterval(step, milliseconds);
    this.ending(() => clearInterval(timer));
  }

  /** Open a scope that ends with this one at the latest. */
  inner() {
    const inner = new Scope();
    const end = () => inner.close();
    this.ending(end);
    inner.ending(() => this.endings.delete(end));
    return inner;
  }

  close() {
    if (this.closed) return;
    this.controller.abort();
    // Last opened, first closed: what came later may lean on what was there.
    for (const end of [...this.endings].reverse()) end();
    this.endings.clear();
  }
}
