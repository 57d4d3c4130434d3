/*
 * Editor: a value that is changed where it stands.  It looks like text with a pencil; a click
 * makes it a field, Enter or leaving it saves, Escape leaves it as it was.
 */

import { element, fill } from "./elements.js";

/**
 * @typedef {object} Editing
 * @property {string} label what it is, for those who cannot see where it stands
 * @property {string} value
 * @property {string} [empty] what stands where there is nothing yet
 * @property {boolean} [long] whether it has lines
 * @property {"text" | "color"} [type]
 * @property {(value: string) => Element | string} [show] how it looks while nobody edits it
 * @property {(value: string) => Promise<unknown>} save raises what is said beside the field
 */

/**
 * Make an editor.
 *
 * @param {Editing} options
 * @returns {HTMLElement}
 */
export function editor({ label, value, empty = "–", long = false, type = "text", show, save }) {
  const place = element("span", { class: long ? "editor long" : "editor" });
  let now = value;

  const rest = () => {
    const shown = now === "" ? element("i", {}, empty) : show ? show(now) : element("bdi", {}, now);
    fill(place, element("button", {
      type: "button", class: "plain", "aria-label": `${label}: ${now || empty}. Edit`, onclick: edit,
    }, shown));
  };

  const edit = () => {
    const field = long
      ? element("textarea", { rows: 4, "aria-label": label, dir: "auto" })
      : element("input", { type, "aria-label": label, dir: "auto" });
    const wrong = element("span", { class: "wrong", role: "alert" });
    field.value = now;
    let ended = false;
    /** @param {boolean} keep */
    const end = async (keep) => {
      if (ended) return;
      ended = true;
      const wanted = field.value.trim();
      if (keep && wanted !== now) {
        try {
          field.disabled = true;
          await save(wanted);
          now = wanted;
        } catch (error) {
          field.disabled = ended = false;
          fill(wrong, error instanceof Error ? error.message : String(error));
          return;
        }
      }
      const back = place.contains(document.activeElement);
      rest();
      if (back) place.querySelector("button")?.focus();
    };
    field.addEventListener("keydown", (/** @type {any} */ event) => {
      if (event.key === "Escape" || (event.key === "Enter" && !(long && event.shiftKey))) {
        event.preventDefault();
        end(event.key === "Enter");
      }
    });
    field.addEventListener("blur", () => end(true));
    fill(place, field, wrong);
    field.focus();
    if (type === "text") field.select();
  };

  rest();
  return place;
}
