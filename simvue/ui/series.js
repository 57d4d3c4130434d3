/*
 * Series: from the server's buckets to what a chart draws.
 *
 * A bucket is what one pixel of a chart shows: how many rows fell into it, the first, last,
 * least and greatest of their values, and where on the x axis these lie.
 */

/**
 * @typedef {object} Buckets one metric's, as the server sends them
 * @property {Uint8Array} columns float64, one behind the other in the order of COLUMNS
 * @property {number} left_out rows of the whole series that have no place on the axis
 *
 * @typedef {Record<typeof COLUMNS[number], Float64Array> & { left: number }} Cut the same as numbers, ascending in x
 *
 * @typedef {object} Trace what a chart draws of one series; NaN in a column is a gap
 * @property {Float64Array} x
 * @property {Float64Array} line
 * @property {Float64Array} low
 * @property {Float64Array} high
 * @property {boolean} banded whether some bucket holds more than one value
 * @property {{ x: number, value: number }[]} odd where rows are not finite, and what one of them is; NaN also where that is not known
 * @property {number} rows as are the following, of the rows within the range that was asked for
 * @property {number} nonfinite
 * @property {number} last
 * @property {number} least
 * @property {number} most
 * @property {number} left rows of the whole series that have no place on the axis
 */

/** @type {["count", "nonfinite", "first", "last", "min", "max", "x_first", "x_last"]} */
const COLUMNS = ["count", "nonfinite", "first", "last", "min", "max", "x_first", "x_last"];

/**
 * Read what the server sent.  On the `timestamp` axis x comes out in seconds.
 *
 * @param {Buckets} buckets
 * @param {string} xaxis
 * @returns {Cut}
 */
export function read(buckets, xaxis) {
  const scale = xaxis === "timestamp" ? 1e-6 : 1;
  // The answer's numbers lie at any offset, typed arrays only at multiples of eight: a copy.
  const all = new Float64Array(buckets.columns.slice().buffer);
  const size = all.length / COLUMNS.length;
  const columns = COLUMNS.map((name, i) => {
    const column = all.subarray(i * size, (i + 1) * size);
    return [name, name.startsWith("x_") && scale !== 1 ? column.map((x) => x * scale) : column];
  });
  return /** @type {Cut} */ ({ ...Object.fromEntries(columns), left: buckets.left_out });
}

/**
 * Join cuts that follow each other in x.  Where one reaches into the next, the next is newer.
 *
 * @param {Cut[]} cuts
 * @returns {Cut}
 */
export function joined(cuts) {
  const [first, ...others] = cuts.filter((cut) => cut.count.length > 0);
  if (!first) return cuts[0];
  return others.reduce((before, after) => {
    let kept = before.count.length;
    while (kept > 0 && before.x_last[kept - 1] >= after.x_first[0]) kept--;
    const columns = COLUMNS.map((name) => {
      const column = new Float64Array(kept + after[name].length);
      column.set(before[name].subarray(0, kept));
      column.set(after[name], kept);
      return [name, column];
    });
    return /** @type {Cut} */ ({ ...Object.fromEntries(columns), left: before.left });
  }, first);
}

/**
 * Turn a cut into what is drawn.  Buckets beyond *range* ([from, to], or null for all) only let
 * the line leave the chart.
 *
 * @param {Cut} cut
 * @param {[number, number] | null} range
 * @returns {Trace}
 */
export function trace(cut, range) {
  const { count, first, last, min, max } = cut;
  // A line begins at its first row; every other bucket gives it one point, its last row.
  const lead = count.length > 0 && cut.x_first[0] < cut.x_last[0] ? 1 : 0;
  const made = drawn(count.length + lead, cut.left);
  for (let i = -lead; i < count.length; i++) {
    const at = Math.max(0, i);
    const value = i < 0 ? first[0] : last[i];
    const finite = Number.isFinite(value);
    const place = i + lead;
    made.x[place] = i < 0 ? cut.x_first[0] : cut.x_last[i];
    made.line[place] = finite ? value : NaN;
    made.low[place] = min[at];
    made.high[place] = max[at];
    if (i < 0) continue;
    const x = made.x[place];
    // Of a bucket's rows that are not finite the server tells the count: only its ends are known.
    if (cut.nonfinite[i] > 0) made.odd.push({ x, value: [value, first[i]].find((end) => !Number.isFinite(end)) ?? NaN });
    made.banded ||= min[i] < max[i];
    if (!range || (x >= range[0] && cut.x_first[i] <= range[1])) tell(made, cut, i);
  }
  return made;
}

/**
 * The average of what came before, which counts the less the farther back it lies: *weight* is
 * what is left of a value a thousandth of *width* later.  A gap is not bridged: behind it the
 * average begins anew.
 *
 * @param {Trace} of
 * @param {number} weight 0 to 1
 * @param {number} width of the chart, in x
 * @returns {Float64Array}
 */
export function smoothed({ x, line }, weight, width) {
  const found = new Float64Array(line.length);
  let [sum, mass, before] = [0, 0, NaN];
  for (let i = 0; i < line.length; i++) {
    const gap = Number.isNaN(line[i]);
    const left = gap || mass === 0 ? 0 : weight ** ((x[i] - before) / width * 1_000);
    sum = gap ? 0 : sum * left + line[i];
    mass = gap ? 0 : mass * left + 1;
    before = x[i];
    found[i] = sum / mass;
  }
  return found;
}

/**
 * The place in *of* whose x is nearest to *x*; -1 in none.
 *
 * @param {Trace} of
 * @param {number} x
 */
export function nearest({ x: column }, x) {
  let [low, high] = [0, column.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (column[middle] < x) low = middle + 1;
    else high = middle;
  }
  return low > 0 && x - column[low - 1] < column[low] - x ? low - 1 : high;
}

/**
 * @param {number} size
 * @param {number} left
 * @returns {Trace}
 */
function drawn(size, left) {
  return {
    x: new Float64Array(size), line: new Float64Array(size),
    low: new Float64Array(size), high: new Float64Array(size),
    banded: false, odd: [],
    rows: 0, nonfinite: 0, last: NaN, least: Infinity, most: -Infinity, left,
  };
}

/**
 * Count bucket *i* among what *made* tells.
 *
 * @param {Trace} made
 * @param {Cut} cut
 * @param {number} i
 */
function tell(made, cut, i) {
  made.rows += cut.count[i];
  made.nonfinite += cut.nonfinite[i];
  if (Number.isFinite(cut.last[i])) made.last = cut.last[i];
  if (!(cut.min[i] <= cut.max[i])) return;
  made.least = Math.min(made.least, cut.min[i]);
  made.most = Math.max(made.most, cut.max[i]);
}
