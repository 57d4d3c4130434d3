/* Tokens: what speaks for a user: those that there are, and a new one, whose text is shown once. */

import { forget, listAll, makeToken } from "./api.js";
import { since } from "./badge.js";
import { copied, toml } from "./connect.js";
import { element, fill, keep } from "./elements.js";
import { calendar, moment } from "./format.js";
import { acts, askToRemove, listing } from "./listing.js";
import { Poll } from "./poll.js";

/** Milliseconds between looks. */
const PAUSE = 15_000;

const DAY = 86_400;

/** How long a token may live, in seconds. */
const LIVES = new Map([["a day", DAY], ["30 days", 30 * DAY], ["a year", 365 * DAY], ["10 years", 3_650 * DAY]]);

/** What a token may do, from the least on. */
const SCOPES = new Map([["read", "only read"], ["write", "read and write runs"], ["admin", "all that its user may"]]);

/** @type {import("./settings.js").Open} */
export function openTokens(page, me) {
  const { rows, element: table } = listing("Tokens", ["Name", "User", "May", "Made", "Expires"]);
  const once = element("div", { role: "status" });
  fill(page.target,
    element("div", { class: "card part" },
      element("h2", {}, "New token"),
      element("p", { class: "total" }, "A simulation, a script or a browser shows the server a token to say for whom it speaks. Give each its own: then one can be taken back alone."),
      form(page, me, once, () => poll.now()), once),
    table);

  const poll = page.scope.own(new Poll(async (signal) => {
    keep(rows, await listAll("tokens", signal), ({ id }) => id, (token) => {
      const [made, expires] = [element("time"), element("time")];
      since(made, token.created);
      const end = moment(token.expires) ?? 0;
      fill(expires, end < Date.now() ? "expired" : calendar(end).replace(/,? \d\d:\d\d:\d\d$/, ""));
      return element("tr", {},
        element("th", { scope: "row" }, token.name ? element("bdi", {}, token.name) : "without a name"),
        element("td", { dir: "auto" }, token.user), element("td", {}, SCOPES.get(token.scope) ?? token.scope),
        element("td", {}, made), element("td", {}, expires),
        acts("Revoke …", token.name || "the token without a name", () => revoke(token)));
    });
  }, { pause: () => PAUSE, heard: page.heard }));

  /** @param {{ id: string, name: string }} token */
  const revoke = (token) => askToRemove({
    title: "Revoke a token", verb: "Revoke", collection: "tokens", id: token.id,
    what: ["What speaks with ", element("bdi", {}, token.name || "this token"),
      " is refused from now on, this browser too if it is its own."],
    done: () => {
      forget("whoami");
      poll.now();
    },
  });
}

/**
 * @param {import("./app.js").Page} page
 * @param {import("./api.js").Whoami} me
 * @param {HTMLElement} once where the text of a token is shown
 * @param {() => void} done
 */
function form(page, me, once, done) {
  const name = element("input", { type: "text", required: true, autocomplete: "off", placeholder: "what it is for, such as: cluster" });
  const mine = [...SCOPES.keys()].slice(0, [...SCOPES.keys()].indexOf(me.scope) + 1);
  const scope = element("select", {}, ...mine.map((key) => (
    element("option", { value: key, defaultSelected: key === "write" }, SCOPES.get(key)))));
  const life = element("select", {}, ...[...LIVES.keys()].map((words) => (
    element("option", { defaultSelected: words === "a year" }, words))));
  const user = element("select", {}, element("option", { value: "" }, me.user));
  const wrong = element("p", { class: "wrong", role: "alert" });
  if (me.is_admin) {
    listAll("users", page.scope.signal).then((users) => user.append(...users
      .filter(({ username }) => username !== me.user)
      .map(({ id, username }) => element("option", { value: id }, username))),
    ).catch((error) => { if (!page.scope.closed) page.heard(error); });
  }
  const made = element("form", { class: "form" },
    element("label", {}, "Name", name),
    element("div", { class: "row" }, element("label", {}, "May", scope), element("label", {}, "Lives for", life)),
    me.is_admin && element("label", {}, "Speaks for", user),
    element("div", {}, element("button", { class: "button" }, "Make a token")), wrong);
  made.addEventListener("submit", async (event) => {
    event.preventDefault();
    fill(wrong);
    try {
      const { token } = await makeToken({
        name: name.value, scope: /** @type {any} */ (scope.value), lifetime: LIVES.get(life.value),
        ...(user.value && { user: user.value }),
      });
      fill(once, element("div", { class: "once" },
        element("p", {}, element("strong", {}, "Copy it now: it is shown this once. "), "For a simulation, as ",
          element("code", {}, "simvue.toml"), " beside it or ", element("code", {}, "~/.simvue.toml"), ":"),
        copied(element("code", {}, toml(token))),
        element("p", {}, "Alone, for the log-in page or a script:"), copied(element("code", {}, token))));
      made.reset();
      done();
    } catch (error) {
      fill(wrong, error instanceof Error ? error.message : String(error));
    }
  });
  return made;
}
