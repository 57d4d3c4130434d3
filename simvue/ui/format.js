/* How numbers, times and durations read: pure functions from values to text. */

/**
 * Make something when it is first needed: a format takes milliseconds, which the first paint does not have.
 *
 * @template Made
 * @param {() => Made} make
 */
function later(make) {
  /** @type {Made | undefined} */
  let made;
  return () => (made ??= make());
}

const relative = later(() => new Intl.RelativeTimeFormat("en", { numeric: "auto" }));
const full = later(() => new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" }));
const dayMonth = later(() => new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" }));
/** @type {[Intl.RelativeTimeFormatUnit, number][]} */
const AGES = [["year", 31_557_600], ["month", 2_629_800], ["week", 604_800], ["day", 86_400],
  ["hour", 3_600], ["minute", 60]];
/** @type {Intl.NumberFormat[]} by how many places they write; each is made once, for every label of every frame */
const PLACES = [];

/**
 * Read a timestamp of the wire (UTC, no zone) as milliseconds since the epoch, or null.
 *
 * @param {import("./api.js").Moment | undefined} text
 * @returns {number | null}
 */
export function moment(text) {
  return text ? Date.parse(`${text.slice(0, 23).replace(" ", "T")}Z`) : null;
}

/**
 * Write a moment as a person says it: "3 minutes ago".
 *
 * @param {number} milliseconds
 */
export function age(milliseconds) {
  const seconds = (Date.now() - milliseconds) / 1000;
  for (const [unit, size] of AGES) {
    if (seconds >= size) return relative().format(-Math.floor(seconds / size), unit);
  }
  return "just now";
}

/**
 * Write a moment in full, in the reader's own time zone.
 *
 * @param {number} milliseconds
 */
export function calendar(milliseconds) {
  return full().format(milliseconds);
}

/**
 * Write a length of time with its two largest units: "2 h 05 m".
 *
 * @param {number} seconds
 */
export function duration(seconds) {
  if (seconds < 1) return `${Math.max(0, Math.round(seconds * 1000))} ms`;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const whole = Math.floor(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3_600) return `${Math.floor(whole / 60)} m ${two(whole % 60)} s`;
  if (whole < 86_400) return `${Math.floor(whole / 3_600)} h ${two(Math.floor((whole % 3_600) / 60))} m`;
  return `${Math.floor(whole / 86_400)} d ${two(Math.floor((whole % 86_400) / 3_600))} h`;
}

/**
 * Write a count with its thousands apart.
 *
 * @param {number} value
 */
export function integer(value) {
  return value.toLocaleString("en");
}

/**
 * Write how many there are of something: "1 run", "2 runs".
 *
 * @param {number} count
 * @param {string} noun
 */
export function many(count, noun) {
  return `${integer(count)} ${noun}${count === 1 ? "" : "s"}`;
}

/**
 * Write a value of a metric: six digits, an exponent only where it is shorter.
 *
 * @param {number} value
 */
export function number(value) {
  if (!Number.isFinite(value)) return String(value);
  if (Number.isInteger(value) && Math.abs(value) < 1e9) return integer(value);
  const size = Math.abs(value);
  return size !== 0 && (size < 1e-4 || size >= 1e9)
    ? value.toExponential(4)
    : String(Number(value.toPrecision(6)));
}

/**
 * Write a number of bytes: "1.5 MiB".
 *
 * @param {number} value
 */
export function bytes(value) {
  const unit = value < 1 ? 0 : Math.min(4, Math.floor(Math.log2(value) / 10));
  const size = value / 1024 ** unit;
  return `${unit && size < 100 ? size.toPrecision(3) : Math.round(size)} ${["B", "KiB", "MiB", "GiB", "TiB"][unit]}`;
}

/** @param {number} value */
function two(value) {
  return String(value).padStart(2, "0");
}

/**
 * Write the labels of a number axis whose ticks are *step* apart.
 *
 * @param {number[]} values
 * @param {number} step
 * @returns {string[]}
 */
export function ticks(values, step) {
  const size = Math.max(...values.map(Math.abs));
  // Next to the largest float an axis ends beyond it.
  if (size === Infinity) return values.map((value) => (Number.isFinite(value) ? number(value) : ""));
  if (size !== 0 && (size < 1e-3 || size >= 1e7)) {
    // As many digits as tell two neighbours apart; steps are 1, 2, 2.5 or 5 times a power of ten.
    const exponent = Math.floor(Math.log10(step) + 1e-9);
    const half = Math.abs(step / 10 ** exponent - 2.5) < 1e-6 ? 1 : 0;
    const digits = Math.max(0, Math.floor(Math.log10(size)) - exponent + half);
    return values.map((value) => (value === 0 ? "0" : value.toExponential(Math.min(digits, 15))));
  }
  // As many places as write the step itself: 0.25 takes two, though it is more than a tenth.
  let places = 0;
  while (places < 12 && Math.abs(step - Number(step.toFixed(places))) > step * 1e-6) places++;
  const format = PLACES[places] ??= new Intl.NumberFormat("en", { minimumFractionDigits: places, maximumFractionDigits: places });
  return values.map((value) => format.format(value));
}

/**
 * Write the labels of a logarithmic axis; uPlot gives null where there is no room.
 *
 * @param {(number | null)[]} values
 * @returns {string[]}
 */
export function powers(values) {
  return values.map((value) => {
    if (value === null || value === 0 || value === Infinity) return "";
    return value >= 1e-3 && value < 1e5 ? number(value) : value.toExponential(0);
  });
}

/**
 * Write the labels of an axis in seconds since the run's start.
 *
 * @param {number[]} values
 * @param {number} step
 * @returns {string[]}
 */
export function elapsedTicks(values, step) {
  if (Math.max(...values.map(Math.abs)) < 600 || step < 1) {
    return ticks(values, step).map((label) => `${label} s`);
  }
  return values.map((value) => {
    const whole = Math.round(value);
    const clock = `${two(Math.floor((whole % 3_600) / 60))}:${two(whole % 60)}`;
    return whole >= 3_600 ? `${Math.floor(whole / 3_600)}:${clock}` : clock;
  });
}

/**
 * Write the labels of a wall-clock axis (seconds since the epoch), the date where it changes.
 *
 * @param {number[]} values
 * @param {number} step
 * @returns {string[]}
 */
export function wallTicks(values, step) {
  let day = "";
  return values.map((value) => {
    const date = new Date(value * 1000);
    const today = dayMonth().format(date);
    const clock = date.toLocaleTimeString("en-GB", {
      hour: "2-digit", minute: "2-digit",
      ...(step < 60 && { second: "2-digit" }),
      ...(step < 1 && { fractionalSecondDigits: step < 0.01 ? 3 : 2 }),
    });
    const label = today === day ? clock : step >= 86_400 ? today : `${clock}\n${today}`;
    day = today;
    return label;
  });
}
