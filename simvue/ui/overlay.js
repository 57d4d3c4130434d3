/*
 * Overlay: the runs that are ticked in the address, over each other: one chart for each metric
 * that any of them has.
 */

import { getRuns, metricNames } from "./api.js";
import { live } from "./badge.js";
import { Charts } from "./charts.js";
import { dash, hue } from "./colour.js";
import { Poll } from "./poll.js";
import { ids } from "./router.js";

/** Milliseconds between looks at which runs and metrics there are. */
const REFRESH = 2_000;

/**
 * Draw the runs of `runs=`, without those of `hide=`; `x`, `log`, `metric` and the like as in charts.js.
 *
 * @param {import("./app.js").Page} page
 * @returns {import("./app.js").View}
 */
export function open(page) {
  const charts = page.scope.own(new Charts(page.target, page));
  /** @type {string[]} */
  let wanted = [];
  /** @type {Set<string>} */
  let hidden = new Set();
  /** @type {Map<string, import("./api.js").Run>} */
  const known = new Map();
  /** @type {string[]} */
  let names = [];
  let inner = page.scope.inner();

  // A run is drawn before it is known how it is called.
  const learn = () => charts.learn({
    sources: wanted.filter((id) => !hidden.has(id)).map((id) => ({
      key: id, run: id, name: known.get(id)?.name ?? id, colour: () => hue(id), dash: dash(id),
    })),
    // What is not known to go on is not taken for having just ended when it is.
    names, live: wanted.some((id) => live(known.get(id) ?? { status: "completed" })),
  });

  const ask = () => {
    inner.close();
    inner = page.scope.inner();
    if (wanted.length === 0) return;
    const runs = wanted;
    const { heard } = page;
    inner.own(new Poll(async (signal) => {
      names = await metricNames(runs, signal);
      learn();
    }, { pause: () => REFRESH, heard, interest: { topics: ["rows"], runs } }));
    inner.own(new Poll(async (signal) => {
      const asked = runs.filter((id) => live(known.get(id) ?? { status: "running" }));
      if (asked.length === 0) return;
      // A run that was deleted meanwhile has no line; the others have.
      for (const run of await getRuns(asked, signal, false)) known.set(run.id, run);
      learn();
    }, { pause: () => REFRESH, heard, interest: { topics: ["run"], runs } }));
  };

  return {
    follow(query) {
      hidden = new Set(ids(query, "hide"));
      const asked = ids(query, "runs");
      const others = asked.join() !== wanted.join();
      wanted = asked;
      charts.follow(query);
      learn();
      if (others) ask();
    },
  };
}
