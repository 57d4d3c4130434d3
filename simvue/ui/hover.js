/*
 * Hover: where on the x axis somebody points, and at which line: one truth for all charts of a
 * view, so that all of them show the same place and set off the same run.
 */

export class Hover extends EventTarget {
  constructor() {
    super();
    /** @type {number | null} */
    this.x = null;
    /** @type {string | null} the key of a line */
    this.line = null;
    /** @type {object | null} the chart that is pointed at */
    this.at = null;
    this.pinned = false;
  }

  /**
   * Point at *x* and *line* in the chart *at*; nothing while a place is pinned.
   *
   * @param {object | null} at
   * @param {number | null} x
   * @param {string | null} line
   */
  move(at, x, line) {
    if (!this.pinned) this.turn(at, x, line);
  }

  leave() {
    this.move(null, null, null);
  }

  /** Hold the place, or let it go if one is held. */
  pin() {
    this.pinned = !this.pinned && this.x !== null;
    this.dispatchEvent(new Event("move"));
  }

  free() {
    this.pinned = false;
    this.turn(null, null, null);
  }

  /**
   * @param {object | null} at
   * @param {number | null} x
   * @param {string | null} line
   */
  turn(at, x, line) {
    const other = line !== this.line;
    this.at = at;
    this.x = x;
    this.line = line;
    this.dispatchEvent(new Event("move"));
    // Lines are drawn again only if another one is to stand out.
    if (other) this.dispatchEvent(new Event("line"));
  }
}
