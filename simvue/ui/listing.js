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
  const rows = element("tbody");
  const heads = titles.map((title) => element("th", { scope: "col" }, title));
  return {
    rows,
    element: element("div", { class: "listing" }, element("table", { class: "list card" },
      element("caption", { class: "unseen" }, what),
      element("thead", {}, element("tr", {}, ...heads, element("td"))), rows)),
  };
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
