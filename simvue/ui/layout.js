/* Layout: the columns that the table of runs wears: those of the address, else those of this reader, else the usual ones. */

import { listRuns, metricNames } from "./api.js";
import { USUAL, leaves } from "./columns.js";

/** @typedef {import("./picker.js").Choice} Choice */

/** What the columns of this reader are kept under, in this browser. */
const KEPT = "simvue.columns";

/** Runs whose attributes and metrics are offered as columns: what one page holds. */
const ASKED = 100;

export class Layout {
  /** @param {(choice: Choice | null) => void} change writes a choice into the address, or takes it away */
  constructor(change) {
    this.change = change;
    /** @type {Choice} */
    this.choice = { columns: USUAL, pinned: ["status", "name"] };
  }

  /**
   * @param {URLSearchParams} query
   * @returns {Choice}
   */
  follow(query) {
    const columns = query.getAll("col");
    this.choice = columns.length
      ? { columns, pinned: query.getAll("pin").filter((id) => columns.includes(id)) }
      : kept() ?? { columns: USUAL, pinned: ["status", "name"] };
    return this.choice;
  }

  /** @param {Choice} choice */
  wear(choice) {
    localStorage.setItem(KEPT, JSON.stringify(choice));
    this.change(choice);
  }

  /**
   * Let the reader choose.
   *
   * @param {import("./source.js").Source} source whose first runs say what there is to choose from
   */
  async pick(source) {
    const { pickColumns } = await import("./picker.js");
    pickColumns(this.choice, () => offer(source), (choice) => this.wear(choice), () => {
      localStorage.removeItem(KEPT);
      this.change(null);
    });
  }
}

/** @returns {Choice | null} */
function kept() {
  try {
    const choice = JSON.parse(localStorage.getItem(KEPT) ?? "null");
    return Array.isArray(choice?.columns) && Array.isArray(choice?.pinned) ? choice : null;
  } catch {
    // Somebody's hand was in there; the usual columns are good.
    return null;
  }
}

/**
 * @param {import("./source.js").Source} source
 * @returns {Promise<string[]>}
 */
async function offer(source) {
  const { data } = await listRuns({ ...source.asked(), count: ASKED, metadata: true, system: true, metrics: false });
  const found = new Set(data.flatMap((run) => (
    [...leaves(run.metadata, "metadata"), ...leaves(run.system, "system")].map(([key]) => key))));
  const names = data.length ? await metricNames(data.map(({ id }) => id)) : [];
  return [...[...found].sort(), ...names.map((name) => `metrics.${name}`)];
}
