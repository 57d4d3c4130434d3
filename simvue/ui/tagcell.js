/* Tag cell: a run's tags edited in their place in the table. */

import { forget, listTags, updateRun } from "./api.js";
import { tagMark, tags } from "./badge.js";
import { element, fill } from "./elements.js";

/**
 * Edit the tags of a run in *cell*: a click on a tag takes it away, Enter adds what was typed,
 * Escape or leaving the cell ends it.
 *
 * @param {import("./api.js").Run} run
 * @param {HTMLElement} cell
 * @param {Map<string, string>} colours
 * @param {(error: unknown) => void} heard
 */
export function editTags(run, cell, colours, heard) {
  if (cell.classList.contains("edited")) return;
  cell.classList.add("edited");
  const list = element("datalist", { id: "tags-offered" });
  const field = element("input", { type: "text", autocomplete: "off", "aria-label": `Add a tag to ${run.name}`, placeholder: "tag" });
  field.setAttribute("list", "tags-offered");
  let now = run.tags;

  const draw = () => {
    fill(cell, ...now.map((tag) => element("button", {
      type: "button", class: "plain", "aria-label": `Remove the tag ${tag}`, onclick: () => change(now.filter((known) => known !== tag)),
    }, tagMark(tag, colours.get(tag)))), field, list);
    field.focus();
  };
  /** @param {string[]} wanted */
  const change = async (wanted) => {
    const before = now;
    now = wanted;
    draw();
    try {
      await updateRun(run.id, { tags: wanted });
      forget("tags");
      run.tags = wanted;
    } catch (error) {
      now = before;
      draw();
      heard(error);
    }
  };
  const end = () => {
    if (!cell.classList.contains("edited")) return;
    cell.classList.remove("edited");
    cell.replaceChildren(...tags({ tags: now }, colours));
  };
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && field.value.trim()) {
      const tag = field.value.trim();
      field.value = "";
      if (!now.includes(tag)) change([...now, tag]);
    } else if (event.key === "Backspace" && !field.value && now.length) {
      change(now.slice(0, -1));
    } else if (event.key === "Escape") {
      end();
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  });
  cell.addEventListener("focusout", (event) => {
    // Redrawing the cell takes the focus away and gives it back.
    setTimeout(() => { if (!cell.contains(document.activeElement)) end(); });
    event.stopPropagation();
  });
  draw();
  listTags().then(({ data }) => fill(list, ...data.map(({ name }) => element("option", { value: name })))).catch(heard);
}
