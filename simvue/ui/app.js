/* App: the URL is the state.  Each address has one view, and any view can be sent to a colleague. */

import { Refused, Unanswered } from "./api.js";
import { element, write } from "./elements.js";
import { RunPage } from "./run.js";
import { Runs } from "./runs.js";

const ROUTES = [
  [/^\/dashboard\/runs\/run\/([A-Za-z0-9]{22})\/?$/, (view, tools, id) => new RunPage(view, id, tools)],
  [/^\/(?:dashboard(?:\/runs)?\/?)?$/, (view, tools) => new Runs(view, tools)],
];

const view = document.getElementById("view");
const connection = document.getElementById("connection");
let shown = { path: null, part: null };

/** Show what the address says. */
function show() {
  const { pathname, search } = location;
  if (pathname !== shown.path) {
    shown.part?.close();
    shown = { path: pathname, part: null };
    write(connection, "");
    for (const [pattern, open] of ROUTES) {
      const match = pattern.exec(pathname);
      if (!match) continue;
      shown.part = open(view, { go, heard }, ...match.slice(1));
      break;
    }
    if (!shown.part) {
      explain("There is nothing at this address.");
    }
  }
  shown.part?.follow(new URLSearchParams(search));
}

/** Change members of the query (null takes one away); *replace* leaves no step for Back. */
function go(changes, replace = false) {
  const query = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null) query.delete(name);
    else query.set(name, value);
  }
  const text = query.toString();
  const address = location.pathname + (text && `?${text}`);
  if (replace) history.replaceState(null, "", address);
  else history.pushState(null, "", address);
  show();
}

/** Say how asking the server went: null is well. */
function heard(error) {
  connection.className = error ? "bad" : "";
  if (!error) {
    write(connection, "");
  } else if (error instanceof Refused && error.status === 401) {
    shown.part?.close();
    shown.part = null;
    explain("You are not logged in, or your log-in has expired.",
      element("a", { class: "button", href: "/login" }, "Log in"));
  } else if (error instanceof Refused && [404, 410, 422].includes(error.status)) {
    shown.part?.close();
    shown.part = null;
    explain(error.message);
  } else if (error instanceof Refused) {
    write(connection, `The server cannot answer: ${error.message} Trying again.`);
  } else if (error instanceof Unanswered) {
    write(connection, "The server does not answer; trying again.");
  } else {
    write(connection, `This page has an error: ${error.message}`);
    throw error;
  }
}

/** Show a sentence instead of a view, and a way on. */
function explain(sentence, way = element("a", { href: "/dashboard/runs" }, "To the runs")) {
  document.title = "Simvue";
  view.replaceChildren(element("div", { class: "empty card" }, element("p", {}, sentence), way));
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href^='/']");
  const plain = !event.defaultPrevented && event.button === 0
    && !(event.ctrlKey || event.metaKey || event.shiftKey || event.altKey);
  if (!link || !plain || !new URL(link.href).pathname.startsWith("/dashboard")) return;
  event.preventDefault();
  history.pushState(null, "", link.href);
  show();
  view.focus({ preventScroll: true });
  scrollTo(0, 0);
});
addEventListener("popstate", show);
show();
