/* Settings: tokens, people, storages and the server itself, at /dashboard/settings; `tab` says which. */

import { version, whoami } from "./api.js";
import { element, fill } from "./elements.js";
import { openTenants, openUsers } from "./people.js";
import { address } from "./router.js";
import { openStorages } from "./storages.js";
import { openTokens } from "./tokens.js";

/**
 * @typedef {import("./app.js").Page} Page
 * @typedef {import("./api.js").Whoami} Whoami
 * @typedef {(page: Page, me: Whoami) => void} Open fills the page's target
 */

/** @type {{ [tab: string]: { title: string, open: Open, forAdministrators?: boolean } }} */
const TABS = {
  tokens: { title: "Tokens", open: openTokens },
  users: { title: "Users", open: openUsers, forAdministrators: true },
  tenants: { title: "Tenants", open: openTenants, forAdministrators: true },
  storages: { title: "Storages", open: openStorages },
  about: { title: "About", open: openAbout },
};

/**
 * @param {Page} page
 * @returns {import("./app.js").View}
 */
export function open(page) {
  /** @type {string | null} */
  let shown = null;
  /** @type {import("./scope.js").Scope | null} */
  let scope = null;
  const tabs = element("nav", { class: "tabs", "aria-label": "Settings" });
  const section = element("section");
  const who = element("p", { class: "total" });
  // A form and no script: it works as well where the page has an error.
  const leave = element("form", { method: "post", action: "/logout", class: "leave" }, element("button", {}, "Log out"));
  fill(page.target, element("div", { class: "head" }, element("h1", {}, "Settings"), who, leave), tabs, section);
  page.title("Settings");

  /** @param {string} name */
  const turn = async (name) => {
    try {
      const me = await whoami();
      if (page.scope.closed || name !== shown) return;
      const mine = Object.entries(TABS).filter(([, { forAdministrators }]) => me.is_admin || !forAdministrators);
      fill(who, element("bdi", {}, me.user), me.is_admin ? ", administrator" : `, may ${me.scope}`);
      fill(tabs, ...mine.map(([key, { title }]) => element("a", {
        href: address("/dashboard/settings", { tab: key }), "aria-current": key === name ? "page" : null,
      }, title)));
      scope?.close();
      scope = page.scope.inner();
      const tab = mine.find(([key]) => key === name);
      fill(section);
      if (tab) tab[1].open({ ...page, scope, target: section }, me);
      else fill(section, element("p", { class: "card empty" }, "This is for administrators."));
    } catch (error) {
      page.heard(error);
    }
  };

  return {
    follow(query) {
      const name = query.get("tab") ?? "tokens";
      if (name === shown) return;
      shown = name;
      turn(name);
    },
  };
}

/** @type {Open} */
function openAbout(page, me) {
  const facts = element("dl", { class: "pairs" });
  fill(page.target, element("div", { class: "card part" }, element("h2", {}, "This server"), facts));
  version().then(({ version: wire, features }) => fill(facts,
    fact("Address", location.origin),
    fact("Version of the wire", wire),
    fact("Beyond it", features.join(", ")),
    fact("You are", `${me.user}, of the tenant ${me.tenant}`),
    fact("Your token may", me.is_admin ? "administer" : me.scope),
    fact("It expires", element("time", { dateTime: me.expires }, me.expires.slice(0, 10))),
    fact("API", element("a", { href: "/api/schema/openapi.json", target: "_blank" }, "OpenAPI document")),
  )).catch((error) => page.heard(error));
}

/**
 * @param {string} name
 * @param {Node | string} value
 */
function fact(name, value) {
  return element("div", {}, element("dt", {}, name), element("dd", { dir: "auto" }, value));
}
