/* Listing: a table of things that people made, one a row, with what is done to it at the end. */

import { remove } from "./api.js";
import { ask } from "./dialog.js";
import { element } from "./elements.js";

/**
 * Make a table without rows.
 *
 * @param {string} what is listed
 * @param {string[]} titles of the columns; the last column, of buttons, has none
 */
export function listing(what, titles) {
  const rows = element("tbody", { onkeydown: walk });
  const heads = titles.map((title) => element("th", { scope: "col" }, title));
  return {
    rows,
    element: element("div", { class: "listing" }, element("table", { class: "list card" },
      element("caption", { class: "unseen" }, what),
      element("thead", {}, element("tr", {}, ...heads, element("td"))), rows)),
  };
}

/**
 * Walk from line to line with the arrow keys, to what stands in the same place of the next one.
 *
 * @param {KeyboardEvent} event
 */
function walk(event) {
  const target = /** @type {Element} */ (event.target);
  const row = target.closest("tr");
  const next = event.key === "ArrowDown" ? row?.nextElementSibling : event.key === "ArrowUp" && row?.previousElementSibling;
  // In a field the arrows have a meaning of their own.
  if (!row || !next || target.matches("input:not([type=checkbox]), textarea")) return;
  const [here, there] = [row, next].map((line) => [.../** @type {NodeListOf<HTMLElement>} */ (line.querySelectorAll("a, button, input"))]);
  (there[here.indexOf(/** @type {HTMLElement} */ (target))] ?? there.at(-1))?.focus();
  event.preventDefault();
}

/**
 * Make the last cell of a row.
 *
 * @param {string} word on the button
 * @param {string} name what it is done to, for those who cannot see the row
 * @param {() => void} onclick
 * @param {...import("./elements.js").Child} before other buttons
 */
export function acts(word, name, onclick, ...before) {
  const label = `${word.replace(" …", "")} ${name}`;
  return element("td", { class: "acts" }, ...before,
    element("button", { type: "button", "aria-label": label, onclick }, word));
}

/**
 * Ask whether one of *collection* is to be removed, and do it.
 *
 * @param {object} options
 * @param {string} options.title
 * @param {import("./api.js").Collection} options.collection
 * @param {string} options.id
 * @param {import("./elements.js").Child[]} options.what says what goes with it
 * @param {() => void} options.done
 * @param {string} [options.verb]
 * @param {string} [options.typed] has to be typed first
 */
export function askToRemove({ title, collection, id, what, done, verb = "Delete", typed }) {
  ask(title, {
    content: [element("p", {}, ...what)], verb, dangerous: true, typed,
    act: async () => {
      await remove(collection, id);
      done();
    },
  });
}
