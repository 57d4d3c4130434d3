/*
 * Ranks: what tells one process of a job from the others; pure functions over a table of numbers.
 *
 * The table has a row for each rank and a column for each stretch of time; NaN where a rank
 * logged nothing, or NaN.
 */

/** Beyond this many scaled deviations from the others a rank is odd (Iglewicz and Hoaglin, 1993). */
export const ODD = 3.5;

/** The part by which the slowest rank must lag behind the median before it is named. */
export const SLOW = 0.02;

/** Makes a median absolute deviation, and a mean one, comparable with a standard deviation. */
const MEDIAN_SCALE = 1.4826;
const MEAN_SCALE = 1.2533;

/**
 * The median of what is finite; NaN of nothing.
 *
 * @param {number[]} values
 */
export function median(values) {
  const sorted = values.filter(Number.isFinite).sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  if (sorted.length === 0) return NaN;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/**
 * Fill what lies between two values with the earlier one, be it NaN: a rank that logs seldom has
 * no gaps.
 *
 * @param {Float64Array} row
 * @param {Set<number>} nan the columns in which NaN is what was logged; more are added to them
 */
export function held(row, nan) {
  const last = row.reduce((found, value, i) => (Number.isFinite(value) || nan.has(i) ? i : found), -1);
  for (let i = 1; i < last; i++) {
    if (!Number.isNaN(row[i]) || nan.has(i)) continue;
    row[i] = row[i - 1];
    if (nan.has(i - 1)) nan.add(i);
  }
  return row;
}

/**
 * Least, mean and greatest over the ranks, for each column.
 *
 * @param {Float64Array[]} rows
 * @param {number} columns
 */
export function overRanks(rows, columns) {
  const [low, mean, high] = [0, 1, 2].map(() => new Float64Array(columns).fill(NaN));
  for (let column = 0; column < columns; column++) {
    const values = rows.map((row) => row[column]).filter(Number.isFinite);
    if (values.length === 0) continue;
    low[column] = Math.min(...values);
    high[column] = Math.max(...values);
    mean[column] = values.reduce((sum, value) => sum + value, 0) / values.length;
  }
  return { low, mean, high };
}

/**
 * How far each rank is from the others, in scaled deviations: the median over all columns, so
 * that one outlier in time does not make a rank odd, and half of the ranks cannot hide one.
 *
 * @param {Float64Array[]} rows
 * @param {number} columns
 * @returns {number[]} 0 where nothing tells ranks apart
 */
export function oddness(rows, columns) {
  /** @type {number[][]} */
  const scores = rows.map(() => []);
  for (let column = 0; column < columns; column++) {
    const values = rows.map((row) => row[column]);
    const middle = median(values);
    const away = values.map((value) => Math.abs(value - middle));
    const finite = away.filter(Number.isFinite);
    if (finite.length < 3) continue;
    // Where most ranks agree to the last digit, their mean deviation has to do.
    const scale = median(away) * MEDIAN_SCALE || finite.reduce((sum, one) => sum + one, 0) / finite.length * MEAN_SCALE;
    away.forEach((one, rank) => {
      if (Number.isFinite(one)) scores[rank].push(scale > 0 ? one / scale : 0);
    });
  }
  return scores.map((found) => median(found) || 0);
}

/**
 * The place of the rank that gets on most slowly, of steps per second; -1 if all keep pace.
 *
 * @param {number[]} rates
 */
export function slowest(rates) {
  const usual = median(rates);
  let place = -1;
  rates.forEach((rate, i) => {
    if (rate < usual * (1 - SLOW) && (place < 0 || rate < rates[place])) place = i;
  });
  return place;
}
