/* Overview: what a run said about itself: how it ended, its command, its code, its machine, every leaf of its metadata. */

import { listEvents, processes, updateRun } from "./api.js";
import { live } from "./badge.js";
import { leaves } from "./columns.js";
import { copied } from "./connect.js";
import { ask } from "./dialog.js";
import { element, fill, keep, write } from "./elements.js";
import { calendar, integer, moment } from "./format.js";

/** @typedef {import("./api.js").Run} Run */

/** Events at the end of a run among which its cause is looked for. */
const LAST = 100;

/** What follows the name of a code in the key under which our client notes how it was started. */
const COMMAND = "_command";

/** Ranks that are named where they stand otherwise than most. */
const NAMED = 8;

/**
 * @param {import("./app.js").Page} page
 * @param {string} id
 * @returns {import("./run.js").Part}
 */
export function open(page, id) {
  const find = element("input", {
    type: "search", class: "find", placeholder: "Find a key   /", "aria-label": "Find a key",
    oninput: () => page.go({ key: find.value }, true),
  });
  const cause = element("section", { class: "card cause", "aria-label": "Cause of the end", hidden: true });
  const notes = element("section", { class: "card notes", "aria-label": "Description" });
  const lists = element("div", { class: "facts" });
  page.target.append(cause, notes, element("div", { class: "tools" }, find), lists);
  /** @type {Run | null} */
  let run = null;
  /** @type {[string, string][]} */
  let attempts = [];
  let wanted = "";
  let asked = "";

  const draw = () => {
    if (!run) return;
    const all = [...sections(run), /** @type {[string, [string, string][]]} */ (["Attempts", attempts])];
    const parts = /** @type {[string, [string, string][]][]} */ (all.map(([title, facts]) => [title, facts.filter(([key, value]) => (
      `${key} ${value}`.toLowerCase().includes(wanted)))]));
    keep(lists, parts.filter(([, facts]) => facts.length), ([title]) => title,
      ([title]) => element("section", { class: "card" }, element("h2", {}, title), element("dl")),
      (section, [title, facts]) => keep(/** @type {Element} */ (section.lastElementChild), facts, ([key]) => key,
        ([key]) => element("div", {}, element("dt", { dir: "auto" }, key),
          element("dd", { dir: "auto" }, title === "Command" && copied(element("code")))),
        (pair, [, value]) => write(/** @type {Element} */ (pair.querySelector("code") ?? pair.lastElementChild), value)));
  };

  const describe = (/** @type {Run} */ { description }) => {
    const edit = element("button", { type: "button", onclick: () => {
      const text = element("textarea", { rows: 8, value: description ?? "", maxLength: 100_000 });
      ask("Describe this run", {
        content: [element("label", {}, "Description", text)], verb: "Save",
        act: () => updateRun(id, { description: text.value }),
      });
    } }, description ? "Edit" : "Describe it");
    fill(notes, element("header", {}, element("h2", {}, "Description"), edit),
      description && element("p", { dir: "auto" }, description));
  };

  const count = async () => {
    attempts = counted(await processes(id, page.scope.signal));
    draw();
  };

  const explain = async (/** @type {Run} */ { status }) => {
    asked = status;
    cause.hidden = true;
    if (status !== "failed" && status !== "terminated" && status !== "lost") return;
    const { count } = await listEvents(id, { start: 0, count: 1 }, page.scope.signal);
    const { data } = await listEvents(id, { start: Math.max(0, count - LAST), count: LAST }, page.scope.signal);
    const last = data.reverse().find(({ log_level: level }) => level === "error" || level === "critical");
    fill(cause, element("h2", {}, `Why it is ${status}`),
      element("p", { dir: "auto" }, last ? last.message : status === "lost"
        ? "Nothing was heard of it for longer than it said it would be silent: its machine may be gone, or the network."
        : "Nobody said: no error stands among its last events."));
    cause.hidden = false;
  };

  return {
    follow(query) {
      if (document.activeElement !== find) find.value = query.get("key") ?? "";
      wanted = (query.get("key") ?? "").toLowerCase();
      draw();
    },
    learn(known) {
      if (known.run === run) return;
      run = known.run;
      draw();
      describe(run);
      if (run.status !== asked) count().catch((error) => { if (!page.scope.closed) page.heard(error); });
      if (run.status !== asked) {
        explain(run).catch((error) => { if (!page.scope.closed) page.heard(error); });
      }
    },
  };
}

/**
 * @param {Run} run
 * @returns {[string, [string, string][]][]}
 */
function sections(run) {
  const when = (/** @type {import("./api.js").Moment} */ text) => (text ? calendar(/** @type {number} */ (moment(text))) : "–");
  const metadata = leaves(run.metadata).map(([key, value]) => /** @type {[string, string]} */ ([key, said(value)]));
  const of = (/** @type {string} */ prefix) => metadata
    .filter(([key]) => key.startsWith(prefix)).map(([key, value]) => /** @type {[string, string]} */ ([key.slice(prefix.length), value]));
  const started = (/** @type {string} */ key) => key.endsWith(COMMAND);
  return [
    ["Run", [
      ["created", when(run.created)], ["started", when(run.started)], ["ended", when(run.endtime)],
      [live(run) ? "so far" : "runtime", run.runtime ?? "–"], ["user", run.user ?? "–"],
      ...(run.ranks.length ? [/** @type {[string, string]} */ (["ranks that share it", integer(run.ranks.length)])] : []),
    ]],
    ["Launch", of("simvue.launch.")],
    ["Git", of("git.")],
    ["Command", metadata.filter(([key]) => started(key)).map(([key, value]) => [key.slice(0, -COMMAND.length), value])],
    ["Metadata", metadata.filter(([key]) => !started(key) && !/^(git|simvue\.launch)\./.test(key))],
    ["System", leaves(run.system).map(([key, value]) => [key, said(value)])],
  ];
}

/** @param {unknown} value */
function said(value) {
  return value !== null && typeof value === "object" ? JSON.stringify(value) : String(value);
}

/**
 * Say of each attempt how its processes stand: "12 completed, 1 failed (rank 3)".
 *
 * @param {{ attempt: number, rank: number | null, status: string }[]} of
 * @returns {[string, string][]}
 */
function counted(of) {
  /** @type {Map<number, Map<string, (number | null)[]>>} */
  const found = new Map();
  for (const { attempt, rank, status } of of) {
    const statuses = found.get(attempt) ?? new Map();
    statuses.set(status, [...(statuses.get(status) ?? []), rank]);
    found.set(attempt, statuses);
  }
  return [...found].map(([attempt, statuses]) => [`attempt ${attempt}`, [...statuses].map(([status, ranks]) => {
    const most = Math.max(...[...statuses.values()].map((some) => some.length));
    const odd = ranks.length < most && ranks.length <= NAMED && ranks.every((rank) => rank !== null);
    return `${integer(ranks.length)} ${status}${odd ? ` (rank ${ranks.join(", ")})` : ""}`;
  }).join(", ")]);
}
