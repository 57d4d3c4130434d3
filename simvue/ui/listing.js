/* Listing: a table of things that people made, one a row, with what is done to it at the end. */

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
