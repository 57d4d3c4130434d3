/* Picker: which columns the table of runs wears, in which order, and which of them stay in sight. */

import { PLAIN, SUMMARIES, column } from "./columns.js";
import { openDialog } from "./dialog.js";
import { element, fill, keep, write } from "./elements.js";

/** @typedef {{ columns: string[], pinned: string[] }} Choice ids, in order */

/** Names that are offered at once; whoever looks for another types part of it. */
const OFFERED_MAX = 60;

/**
 * Open the picker.
 *
 * @param {Choice} start
 * @param {() => Promise<string[]>} offer ids of columns beyond those that every run has, without summaries
 * @param {(choice: Choice) => void} change hears of every step
 * @param {() => void} reset
 */
export function pickColumns(start, offer, change, reset) {
  let { columns, pinned } = start;
  /** @type {string[]} */
  let offered = [];
  const worn = element("ul", { class: "picks", "aria-label": "Shown columns" });
  const others = element("ul", { class: "picks", "aria-label": "More columns" });
  const find = element("input", {
    type: "search", placeholder: "Find a column", "aria-label": "Find a column", oninput: () => draw(),
  });
  const summary = element("select", { "aria-label": "Of a metric", onchange: () => draw() },
    ...SUMMARIES.map((name) => element("option", { value: name }, name)));
  const more = element("p", { class: "total" });

  /** @param {Partial<Choice>} step */
  const set = (step) => {
    ({ columns, pinned } = { columns, pinned, ...step });
    pinned = pinned.filter((id) => columns.includes(id));
    change({ columns, pinned });
    draw();
  };
  /**
   * @param {string} id
   * @param {number} by
   */
  const move = (id, by) => {
    const moved = columns.filter((known) => known !== id);
    moved.splice(Math.max(0, columns.indexOf(id) + by), 0, id);
    set({ columns: moved });
  };
  const draw = () => {
    keep(worn, columns, (id) => id, (id) => element("li", {},
      element("span", { dir: "auto" }, column(id)?.title ?? id),
      button("Move up", "↑", () => move(id, -1)),
      button("Move down", "↓", () => move(id, 1)),
      button("Pin", "Pin", () => set({
        pinned: pinned.includes(id) ? pinned.filter((known) => known !== id) : [...pinned, id],
      })),
      button("Remove", "✕", () => set({ columns: columns.filter((known) => known !== id) }))),
    (item, id) => item.children[3].setAttribute("aria-pressed", String(pinned.includes(id))));
    const wanted = find.value.toLowerCase();
    const all = [...PLAIN, ...offered.map((id) => (id.startsWith("metrics.") ? `${id}.${summary.value}` : id))]
      .filter((id) => !columns.includes(id) && id.toLowerCase().includes(wanted) && column(id));
    keep(others, all.slice(0, OFFERED_MAX), (id) => id, (id) => element("li", {},
      element("button", { type: "button", class: "plain", dir: "auto", onclick: () => set({ columns: [...columns, id] }) },
        `+ ${PLAIN.includes(id) ? column(id)?.title : id}`)));
    write(more, all.length > OFFERED_MAX ? `${all.length - OFFERED_MAX} more; type part of a name.` : "");
  };

  const dialog = openDialog("Columns", worn,
    element("div", { class: "tools" }, find, element("label", {}, "metrics: ", summary)), others, more,
    element("footer", {},
      element("button", { type: "button", onclick: () => { dialog.close(); reset(); } }, "The usual ones"),
      element("button", { type: "button", class: "button", onclick: () => dialog.close() }, "Done")));
  draw();
  offer().then((found) => {
    offered = found;
    draw();
  }).catch((error) => write(more, error.message));
}

/**
 * @param {string} label
 * @param {string} text
 * @param {() => void} onclick
 */
function button(label, text, onclick) {
  const made = element("button", { type: "button", class: "plain", "aria-label": label, title: label, onclick });
  fill(made, text);
  return made;
}
