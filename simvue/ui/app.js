/* App: the frame around every view: the rail, the message about the server, which address has which view. */

import { Refused, Unanswered } from "./api.js";
import { element, fill, write } from "./elements.js";
import { onKey, showKeys } from "./keys.js";
import { Router } from "./router.js";
import { Scope } from "./scope.js";
import { theme, themes, turnTheme } from "./theme.js";

/**
 * @typedef {object} Page what a view gets from the frame
 * @property {HTMLElement} target what it fills
 * @property {Scope} scope closed when the view is left
 * @property {import("./router.js").Go} go changes members of the address's query
 * @property {(href: string, replace?: boolean) => void} visit goes to another address
 * @property {(error: unknown) => void} heard says how asking the server went; null is well
 * @property {(name: string) => void} title names the window
 *
 * @typedef {{ follow(query: URLSearchParams): void }} View follows the address's query, now and whenever it changes
 * @typedef {{ open(page: Page, ...parts: string[]): View }} Module
 */

/** @type {[RegExp, () => Promise<Module>][]} the parts of a path that are in brackets go to the view */
const ROUTES = [
  [/^\/(?:dashboard(?:\/runs)?\/?)?$/, () => import("./runs.js")],
  [/^\/dashboard\/runs\/run\/([A-Za-z0-9]{22})\/?$/, () => import("./run.js")],
  [/^\/dashboard\/folders\/?$/, () => import("./folders.js")],
  [/^\/dashboard\/compare\/?$/, () => import("./compare.js")],
  [/^\/dashboard\/alerts\/?$/, () => import("./alerts.js")],
  [/^\/dashboard\/tags\/?$/, () => import("./tags.js")],
  [/^\/dashboard\/settings\/?$/, () => import("./settings.js")],
];

/** The rail, from top to bottom: address and word. */
const RAIL = [
  ["/dashboard/runs", "Runs"],
  ["/dashboard/folders", "Folders"],
  ["/dashboard/compare", "Compare"],
  ["/dashboard/alerts", "Alerts"],
  ["/dashboard/tags", "Tags"],
  ["/dashboard/settings", "Settings"],
];

const view = /** @type {HTMLElement} */ (document.getElementById("view"));
const connection = /** @type {HTMLElement} */ (document.getElementById("connection"));
const rail = /** @type {HTMLElement} */ (document.getElementById("rail"));

/** @type {{ path: string | null, scope: Scope, view: View | null }} */
let shown = { path: null, scope: new Scope(), view: null };

/**
 * Show what the address says.
 *
 * @param {string} path
 * @param {URLSearchParams} query
 */
async function show(path, query) {
  if (path === shown.path) {
    shown.view?.follow(query);
    return;
  }
  const scope = leave(path);
  for (const [pattern, load] of ROUTES) {
    const match = pattern.exec(path);
    if (!match) continue;
    const module = await load().catch((error) => console.error(error));
    // Another address may have come while the module did.
    if (scope.closed) return;
    if (!module) {
      explain("This part of the page did not arrive; the server may be gone.",
        element("button", { type: "button", onclick: () => location.reload() }, "Try again"));
      return;
    }
    shown.view = module.open({
      target: view, scope, go: router.go, visit: (href, replace) => router.visit(href, replace), heard, title,
    }, ...match.slice(1).map(decodeURIComponent));
    shown.view.follow(new URLSearchParams(location.search));
    return;
  }
  explain("There is nothing at this address.");
}

/**
 * Close the view that is shown; return the scope of the next one.
 *
 * @param {string | null} path
 */
function leave(path) {
  shown.scope.close();
  shown = { path, scope: new Scope(), view: null };
  view.replaceChildren();
  title("");
  heard(null);
  for (const link of rail.querySelectorAll("a")) {
    const here = path !== null && (path === link.pathname || path.startsWith(`${link.pathname}/`));
    if (here) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  return shown.scope;
}

/** @param {string} name */
function title(name) {
  document.title = name ? `${name} – Simvue` : "Simvue";
}

/**
 * Say how asking the server went: null is well.
 *
 * @param {unknown} error
 */
function heard(error) {
  connection.className = error ? "bad" : "";
  if (!error) {
    write(connection, "");
  } else if (error instanceof Refused && error.status === 401) {
    leave(shown.path);
    explain("You are not logged in, or your log-in has expired.",
      element("a", { class: "button", href: "/login" }, "Log in"));
  } else if (error instanceof Refused && [404, 410, 422].includes(error.status)) {
    leave(shown.path);
    explain(error.message);
  } else if (error instanceof Refused) {
    write(connection, `The server cannot answer: ${error.message} Trying again.`);
  } else if (error instanceof Unanswered) {
    write(connection, "The server does not answer; trying again.");
  } else {
    write(connection, `This page has an error: ${error instanceof Error ? error.message : error}`);
    throw error;
  }
}

/**
 * Show a sentence instead of a view, and a way on.
 *
 * @param {string} sentence
 * @param {HTMLElement} way
 */
function explain(sentence, way = element("a", { href: "/dashboard/runs" }, "To the runs")) {
  fill(view, element("div", { class: "empty card" }, element("p", {}, sentence), way));
}

// ---- The rail ------------------------------------------------------------------------------

const turn = element("button", { type: "button", class: "plain", onclick: turnTheme });
const help = element("button", { type: "button", class: "plain", onclick: showKeys }, "Help");
fill(rail, ...RAIL.map(([href, word]) => element("a", { href }, word)), element("hr"), help, turn);
const nameTurn = () => write(turn, theme() === "dark" ? "Light" : "Dark");
themes.addEventListener("change", nameTurn);
nameTurn();

const always = new Scope();
onKey(always, "?", "Show the keys", showKeys);
onKey(always, "Escape", "Close what is open, or leave a field");
onKey(always, "/", "Go to the search field", () => {
  /** @type {HTMLInputElement | null} */ (view.querySelector("input[type=search]"))?.focus();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && event.target instanceof HTMLInputElement && !event.defaultPrevented) event.target.blur();
});

const router = new Router(show);
router.read();
