/* Theme: dark or light, as the reader's system says or as the reader chose on this page. */

/** @typedef {"dark" | "light"} Theme */

/** What the choice is kept under, in this browser. */
const KEPT = "simvue.theme";

const system = matchMedia("(prefers-color-scheme: dark)");

/** Tells of `change`, after the style sheet has followed: for what is drawn, not styled. */
export const themes = new EventTarget();

/** @returns {Theme} */
export function theme() {
  const chosen = localStorage.getItem(KEPT);
  if (chosen === "dark" || chosen === "light") return chosen;
  return system.matches ? "dark" : "light";
}

/** Turn dark to light or back; the choice that the system would make is not kept. */
export function turnTheme() {
  const turned = theme() === "dark" ? "light" : "dark";
  if ((turned === "dark") === system.matches) localStorage.removeItem(KEPT);
  else localStorage.setItem(KEPT, turned);
  apply();
}

/** @type {Map<string, string>} */
const inks = new Map();

/**
 * Read a colour of the style sheet as it is now: `ink("--muted")` is `#rrggbb`.
 *
 * @param {string} name
 * @returns {string}
 */
export function ink(name) {
  let found = inks.get(name);
  if (found === undefined) {
    const probe = document.body.appendChild(document.createElement("i"));
    probe.style.color = `var(${name})`;
    const parts = (getComputedStyle(probe).color.match(/\d+/g) ?? []).slice(0, 3);
    probe.remove();
    found = `#${parts.map((part) => Number(part).toString(16).padStart(2, "0")).join("")}`;
    inks.set(name, found);
  }
  return found;
}

function apply() {
  document.documentElement.dataset.theme = theme();
  inks.clear();
  themes.dispatchEvent(new Event("change"));
}

system.addEventListener("change", apply);
// Another tab of this browser chose.
addEventListener("storage", (event) => { if (event.key === KEPT) apply(); });
apply();
