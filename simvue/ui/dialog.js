/* Dialog: a question or a panel over the page; Escape closes it, and focus goes back. */

import { element } from "./elements.js";

/**
 * Open a dialog with *content*; it is gone when it is closed.
 *
 * @param {string} title
 * @param {...import("./elements.js").Child} content
 * @returns {HTMLDialogElement}
 */
export function openDialog(title, ...content) {
  const dialog = element("dialog", { "aria-label": title },
    element("header", {}, element("h2", {}, title), element("button", {
      type: "button", class: "plain", "aria-label": "Close", onclick: () => dialog.close(),
    }, "✕")),
    ...content);
  dialog.addEventListener("close", () => dialog.remove());
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/**
 * Ask for something and do it.  While it is done the button waits; what goes wrong is said in
 * the dialog, which stays open.
 *
 * @param {string} title
 * @param {object} options
 * @param {import("./elements.js").Child[]} options.content
 * @param {string} options.verb what the button says
 * @param {boolean} [options.dangerous]
 * @param {string} [options.typed] what must be typed before the button works
 * @param {() => Promise<unknown>} options.act
 */
export function ask(title, { content, verb, dangerous = false, typed, act }) {
  const wrong = element("p", { class: "wrong", role: "alert", hidden: true });
  const button = element("button", { class: dangerous ? "danger" : "button", disabled: typed !== undefined }, verb);
  const field = typed === undefined ? null : element("input", {
    type: "text", autocomplete: "off", oninput: () => { button.disabled = field?.value.trim() !== typed; },
  });
  const form = element("form", { method: "dialog" }, ...content,
    field && element("label", { class: "typed" }, `Type ${typed} to confirm`, field),
    wrong,
    element("footer", {}, element("button", { type: "button", onclick: () => dialog.close() }, "Cancel"), button));
  const dialog = openDialog(title, form);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    try {
      await act();
      dialog.close();
    } catch (error) {
      wrong.hidden = false;
      wrong.textContent = error instanceof Error ? error.message : String(error);
      button.disabled = false;
    }
  });
  (field ?? form.querySelector("input, select, textarea"))?.focus();
}

/**
 * Say why something was not done.
 *
 * @param {unknown} error
 */
export function complain(error) {
  openDialog("This was not done", element("p", { role: "alert" }, error instanceof Error ? error.message : String(error)));
}
