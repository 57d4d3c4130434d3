/* Storages: where the bytes of artifacts are kept: a folder of the server's, or a bucket of an S3 store. */

import { create, listAll, update } from "./api.js";
import { ask, complain } from "./dialog.js";
import { element, fill, keep } from "./elements.js";
import { bytes } from "./format.js";
import { acts, askToRemove, listing } from "./listing.js";
import { Poll } from "./poll.js";

/** Milliseconds between looks. */
const PAUSE = 15_000;

/** What a bucket's config says; the first must be there. */
const CONFIG = new Map([
  ["bucket", "Bucket"], ["endpoint_url", "Address of the store"], ["region_name", "Region"],
  ["access_key_id", "Access key"], ["secret_access_key", "Secret key"],
]);

/** @type {import("./settings.js").Open} */
export function openStorages(page, me) {
  const { rows, element: table } = listing("Storages", ["Storage", "Kind", "Holds", "Default", "Enabled"]);
  fill(page.target,
    element("div", { class: "tools" }, element("button", { type: "button", onclick: () => add() }, "New S3 storage")), table);

  const poll = page.scope.own(new Poll(async (signal) => {
    keep(rows, await listAll("storage", signal), (storage) => JSON.stringify(storage), row, (made, storage) => {
      // After a refusal the boxes say again what is.
      const [chosen, on] = made.querySelectorAll("input");
      chosen.checked = storage.is_default;
      on.checked = storage.is_enabled;
    });
  }, { pause: () => PAUSE, heard: page.heard }));

  /** @param {any} storage */
  const row = (storage) => {
    const save = (/** @type {Record<string, boolean>} */ changes) => (
      update("storage", storage.id, changes).catch(complain).then(() => poll.now()));
    const chosen = element("input", {
      type: "radio", name: "default-storage", checked: storage.is_default, disabled: !me.is_admin,
      "aria-label": `${storage.name} is the default`, onchange: () => save({ is_default: true }),
    });
    const on = element("input", {
      type: "checkbox", checked: storage.is_enabled, disabled: storage.is_default,
      "aria-label": `${storage.name} is enabled`, onchange: () => save({ is_enabled: on.checked }),
    });
    const place = storage.config ? `${storage.config.bucket} at ${storage.config.endpoint_url ?? "AWS"}` : "a folder of the server";
    return element("tr", {},
      element("th", { scope: "row", dir: "auto" }, storage.name),
      element("td", {}, `${storage.backend}: `, element("bdi", {}, place)),
      element("td", {}, bytes(storage.usage)), element("td", {}, chosen), element("td", {}, on),
      storage.is_default ? element("td") : acts("Delete …", storage.name, () => drop(storage)));
  };

  const add = () => {
    const name = element("input", { type: "text", required: true, autocomplete: "off" });
    const fields = [...CONFIG].map(([member, words]) => ({
      member, words,
      field: element("input", {
        type: member === "secret_access_key" ? "password" : member === "endpoint_url" ? "url" : "text",
        autocomplete: "off", required: member === "bucket",
      }),
    }));
    const unchecked = element("input", { type: "checkbox" });
    ask("New S3 storage", {
      content: [
        element("label", {}, "Name", name),
        ...fields.map(({ words, field }) => element("label", {}, words, field)),
        element("label", { class: "check" }, unchecked, "Do not try to reach it now"),
      ],
      verb: "Make it",
      act: async () => {
        const config = Object.fromEntries(fields.filter(({ field }) => field.value).map(({ member, field }) => [member, field.value]));
        await create("storage", { name: name.value, backend: "S3", disable_check: unchecked.checked, config });
        poll.now();
      },
    });
  };

  /** @param {{ id: string, name: string }} storage */
  const drop = (storage) => askToRemove({
    title: "Delete a storage", collection: "storage", id: storage.id, done: () => poll.now(),
    what: ["This forgets ", element("bdi", {}, storage.name), ", which nothing may be kept in."],
  });
}
