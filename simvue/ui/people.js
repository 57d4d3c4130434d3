/* People: users and tenants, for administrators. */

import { create, listAll, update } from "./api.js";
import { ask, complain } from "./dialog.js";
import { element, fill, keep } from "./elements.js";
import { acts, askToRemove, listing } from "./listing.js";
import { Poll } from "./poll.js";

/** Milliseconds between looks. */
const PAUSE = 15_000;

/** What a user may be, beside itself. */
const ROLES = new Map([["is_admin", "administrator"], ["is_manager", "manager"], ["is_readonly", "may only read"]]);

/** @type {import("./settings.js").Open} */
export function openUsers(page) {
  const rows = table(page, "Users", ["User", "Mail", "Is", "Tenant", "Enabled"], () => add());
  /** @type {{ id: string, name: string }[]} */
  let tenants = [];

  const poll = page.scope.own(new Poll(async (signal) => {
    const [users, found] = await Promise.all([listAll("users", signal), listAll("tenants", signal)]);
    tenants = found;
    const names = new Map(tenants.map(({ id, name }) => [id, name]));
    keep(rows, users, (user) => JSON.stringify([user, names.get(user.tenant)]), (user) => {
      const roles = [...ROLES].filter(([member]) => user[member]).map(([, words]) => words);
      return element("tr", {},
        element("th", { scope: "row" }, element("bdi", {}, user.username), " ", element("small", { dir: "auto" }, user.fullname)),
        element("td", { dir: "auto" }, user.email), element("td", {}, roles.join(", ")),
        element("td", { dir: "auto" }, names.get(user.tenant) ?? ""),
        element("td", {}, enabled("users", user, user.username, () => poll.now())),
        drop("users", user.id, user.username, "and its tokens; its runs stay", () => poll.now()));
    });
  }, { pause: () => PAUSE, heard: page.heard }));

  const add = () => {
    const field = (/** @type {string} */ type, required = false) => element("input", { type, required, autocomplete: "off" });
    const [username, fullname, email] = [field("text", true), field("text"), field("email")];
    const tenant = element("select", {}, ...tenants.map(({ id, name }) => element("option", { value: id }, name)));
    const roles = [...ROLES].map(([member, words]) => ({ member, words, box: element("input", { type: "checkbox" }) }));
    ask("New user", {
      content: [
        element("label", {}, "User name", username), element("label", {}, "Full name", fullname),
        element("label", {}, "Mail", email), element("label", {}, "Tenant", tenant),
        ...roles.map(({ words, box }) => element("label", { class: "check" }, box, words)),
        element("p", {}, "Then make a token that speaks for the user, and hand it over."),
      ],
      verb: "Make it",
      act: async () => {
        const members = Object.fromEntries(roles.map(({ member, box }) => [member, box.checked]));
        await create("users", {
          tenant: tenant.value, user: { username: username.value, fullname: fullname.value, email: email.value, ...members },
        });
        poll.now();
      },
    });
  };
}

/** @type {import("./settings.js").Open} */
export function openTenants(page) {
  const rows = table(page, "Tenants", ["Tenant", "Made", "Enabled"], () => add());

  const poll = page.scope.own(new Poll(async (signal) => {
    keep(rows, await listAll("tenants", signal), (tenant) => JSON.stringify(tenant), (tenant) => element("tr", {},
      element("th", { scope: "row", dir: "auto" }, tenant.name),
      element("td", {}, tenant.created.slice(0, 10)),
      element("td", {}, enabled("tenants", tenant, tenant.name, () => poll.now())),
      drop("tenants", tenant.id, tenant.name, "with its users and their tokens; their runs stay", () => poll.now())));
  }, { pause: () => PAUSE, heard: page.heard }));

  const add = () => {
    const name = element("input", { type: "text", required: true, autocomplete: "off" });
    ask("New tenant", {
      content: [element("p", {}, "A tenant is a group of users."), element("label", {}, "Name", name)],
      verb: "Make it",
      act: async () => {
        await create("tenants", { name: name.value });
        poll.now();
      },
    });
  };
}

/**
 * @param {import("./app.js").Page} page
 * @param {string} what
 * @param {string[]} titles
 * @param {() => void} add
 */
function table(page, what, titles, add) {
  const made = listing(what, titles);
  fill(page.target, element("div", { class: "tools" },
    element("button", { type: "button", onclick: add }, `New ${what.slice(0, -1).toLowerCase()}`)), made.element);
  return made.rows;
}

/**
 * @param {"users" | "tenants"} collection
 * @param {{ id: string, is_enabled: boolean }} object
 * @param {string} name
 * @param {() => void} done
 */
function enabled(collection, object, name, done) {
  const box = element("input", {
    type: "checkbox", checked: object.is_enabled, "aria-label": `${name} is enabled`,
    onchange: () => update(collection, object.id, { is_enabled: box.checked }).then(done).catch((error) => {
      box.checked = object.is_enabled;
      complain(error);
    }),
  });
  return box;
}

/**
 * @param {"users" | "tenants"} collection
 * @param {string} id
 * @param {string} name
 * @param {string} reach what else goes
 * @param {() => void} done
 */
function drop(collection, id, name, reach, done) {
  return acts("Delete …", name, () => askToRemove({
    title: "Delete", collection, id, done, typed: name,
    what: ["This deletes ", element("bdi", {}, name), ` ${reach}.`],
  }));
}
