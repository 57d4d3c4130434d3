/*
 * Series: from the server's buckets to the columns that a chart draws.
 *
 * A bucket is what one pixel of a chart shows: how many rows fell into it, the first, last,
 * least and greatest of their values, and where on the x axis each of those lies.
 */

/** Read a `bin` of little-endian float64. */
function floats(bytes) {
  // The answer's numbers lie at any offset, typed arrays only at multiples of eight: a copy.
  return new Float64Array(bytes.slice().buffer);
}

/** Read a `bin` of little-endian int64 as Numbers. */
function integers(bytes) {
  return Array.from(new BigInt64Array(bytes.slice().buffer), Number);
}

/**
 * Turn one metric's buckets into what a chart draws: an object of
 *
 * - `x`, `high`, `low`, `line`: columns of equal length, ascending in x; a bucket whose rows
 *   are all NaN or infinite is a gap (null).  On the `timestamp` axis x is in seconds;
 * - `banded`: whether some bucket holds more than one value, so that there is a band to draw;
 * - `odd`: the x of buckets with rows that are not finite;
 * - `rows`, `nonfinite`, `last`, `least`, `most`: of the rows within *range* ([from, to], or
 *   null for all); buckets beyond it only let the line leave the chart.
 */
export function columns(buckets, xaxis, range) {
  const scale = xaxis === "timestamp" ? 1e-6 : 1;
  const count = integers(buckets.count);
  const nonfinite = integers(buckets.nonfinite);
  const [first, last, min, max, xFirst, xLast] = [
    "first", "last", "min", "max", "x_first", "x_last"].map((name) => floats(buckets[name]));
  const drawn = {
    x: [], high: [], low: [], line: [], banded: false, odd: [],
    rows: 0, nonfinite: 0, last: NaN, least: Infinity, most: -Infinity,
  };
  const add = (x, value, i) => {
    const finite = Number.isFinite(value);
    drawn.x.push(x);
    drawn.line.push(finite ? value : null);
    drawn.high.push(finite ? max[i] : null);
    drawn.low.push(finite ? min[i] : null);
  };
  for (let i = 0; i < count.length; i++) {
    const x = xLast[i] * scale;
    // A line begins at its first row; every other bucket gives it one point, its last row.
    if (i === 0 && xFirst[0] < xLast[0]) add(xFirst[0] * scale, first[0], 0);
    add(x, last[i], i);
    if (nonfinite[i] > 0) drawn.odd.push(x);
    drawn.banded ||= min[i] < max[i];
    if (range && (x < range[0] || xFirst[i] * scale > range[1])) continue;
    drawn.rows += count[i];
    drawn.nonfinite += nonfinite[i];
    if (Number.isFinite(last[i])) {
      drawn.last = last[i];
      drawn.least = Math.min(drawn.least, min[i]);
      drawn.most = Math.max(drawn.most, max[i]);
    }
  }
  return drawn;
}

/** What a chart draws of a metric that has no rows where it looks. */
export const NOTHING = Object.freeze({
  x: [], high: [], low: [], line: [], banded: false, odd: [],
  rows: 0, nonfinite: 0, last: NaN, least: Infinity, most: -Infinity,
});
