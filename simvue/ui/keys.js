/*
 * Keys: what the keyboard does on this page, and the overlay of `?` that lists it.
 *
 * A key is registered on the scope of the view that it belongs to, so the overlay lists what
 * works now.  Keys never act while somebody types into a field.
 */

import { openDialog } from "./dialog.js";
import { element } from "./elements.js";

/**
 * @typedef {object} Key
 * @property {string} key as `KeyboardEvent.key` has it
 * @property {string} says what it does, for the overlay
 * @property {(event: KeyboardEvent) => void} [press] nothing, if the part itself listens
 */

/** @type {Set<Key>} */
const known = new Set();

const SHOWN = new Map([["ArrowUp", "↑"], ["ArrowDown", "↓"], ["ArrowLeft", "←"], ["ArrowRight", "→"], [" ", "Space"]]);

/** @type {[string, string, string][]} what a part of the page hears itself while it has the focus: the part, its keys, what they do */
const PARTS = [
  [".plot", "← →", "Move the cursor of a chart"],
  [".plot", "+ - 0", "Zoom a chart in, out, and back"],
  [".heat", "↑ ↓ ← →", "Move over the map; Enter opens a rank"],
  ["[role=tab]", "← →", "Go to the next tab"],
  [".events", "↑ ↓", "Walk along the events; Enter shows all of one"],
  [".list", "↑ ↓", "Walk from line to line"],
];

/**
 * Have *key* do something while *scope* is open; the last one registered wins.
 *
 * @param {import("./scope.js").Scope} scope
 * @param {string} key
 * @param {string} says
 * @param {(event: KeyboardEvent) => void} [press]
 */
export function onKey(scope, key, says, press) {
  const entry = { key, says, press };
  known.add(entry);
  scope.ending(() => known.delete(entry));
}

/** @param {EventTarget | null} target */
function types(target) {
  return target instanceof Element
    && target.closest("input:not([type=checkbox]), select, textarea, [contenteditable]") !== null;
}

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
  if (types(event.target) || document.querySelector("dialog[open]")) return;
  const found = [...known].reverse().find((entry) => entry.press && entry.key === event.key);
  if (!found?.press) return;
  event.preventDefault();
  found.press(event);
});

/** Show what is registered now. */
export function showKeys() {
  /** @type {Map<string, string[]>} */
  const says = new Map();
  const parts = PARTS.filter(([part]) => document.querySelector(part)).map(([, key, does]) => ({ key, says: does }));
  for (const entry of [...known, ...parts]) says.set(entry.key, [...(says.get(entry.key) ?? []), entry.says]);
  const lines = Array.from(says, ([key, texts]) => element("div", {},
    element("dt", {}, element("kbd", {}, SHOWN.get(key) ?? key)), element("dd", {}, texts.join(" · "))));
  openDialog("Keys", element("dl", { class: "keys" }, ...lines));
}
