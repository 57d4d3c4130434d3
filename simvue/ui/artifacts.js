/* Artifacts: the files and objects of a run, by what they are to it, each with a preview and a download. */

import { listArtifacts } from "./api.js";
import { element, fill, keep, write } from "./elements.js";
import { bytes } from "./format.js";
import { Poll } from "./poll.js";
import { preview } from "./preview.js";

/** @typedef {import("./api.js").Artifact} Artifact */

/** @type {[import("./api.js").Category, string][]} */
const CATEGORIES = [["code", "Code"], ["input", "Input"], ["output", "Output"]];

/** Milliseconds between looks. */
const REFRESH = 2_000;

/**
 * @param {import("./app.js").Page} page
 * @param {string} id
 * @returns {import("./run.js").Part}
 */
export function open(page, id) {
  const find = element("input", {
    type: "search", class: "find", placeholder: "Find an artifact   /", "aria-label": "Find an artifact",
    oninput: () => page.go({ name: find.value }, true),
  });
  const empty = element("p", { class: "empty card", hidden: true });
  const lists = element("div", { class: "shelves" });
  const shown = element("section", { class: "card shown", hidden: true, "aria-label": "Preview" });
  page.target.append(element("div", { class: "tools" }, find), empty, element("div", { class: "artifacts" }, lists, shown));
  /** @type {Artifact[] | null} */
  let all = null;
  let wanted = "";
  /** @type {string | null} */
  let chosen = null;
  /** @type {string | null} */
  let previewed = null;

  const draw = () => {
    if (!all) return;
    const fits = all.filter(({ name }) => name.toLowerCase().includes(wanted));
    empty.hidden = fits.length > 0;
    write(empty, all.length ? "No artifact fits." : "This run has no artifacts.");
    keep(lists, CATEGORIES.filter(([category]) => fits.some((one) => one.category === category)), ([category]) => category,
      ([, title]) => element("section", { class: "card" }, element("h2", {}, title), element("ul")),
      (section, [category]) => keep(/** @type {Element} */ (section.lastElementChild), fits.filter((one) => one.category === category),
        (one) => one.id,
        (one) => element("li", {}, element("button", {
          type: "button", class: "plain", onclick: () => page.go({ artifact: one.id }, true),
        }, element("span", { dir: "auto" }, one.name), element("small", {}, `${bytes(one.size)} · ${one.mime_type}`))),
        (item, one) => item.classList.toggle("chosen", one.id === chosen)));
    look().catch((error) => { if (!page.scope.closed) page.heard(error); });
  };

  const look = async () => {
    const one = all?.find((artifact) => artifact.id === chosen);
    if (!one || previewed === one.id) return;
    previewed = one.id;
    shown.hidden = false;
    const place = element("div", { class: "preview", "aria-live": "polite" }, "…");
    fill(shown,
      element("header", {}, element("h2", { dir: "auto" }, one.name),
        one.url && element("a", { class: "button", href: one.url, download: "" }, "Download")),
      element("p", { class: "total code" }, `${bytes(one.size)} · ${one.mime_type} · sha256 ${one.checksum}`),
      place);
    const made = await preview(one, page.scope.signal);
    if (previewed === one.id) fill(place, made);
  };

  page.scope.own(new Poll(async (signal) => {
    all = await listArtifacts(id, signal);
    draw();
  }, { pause: () => REFRESH, heard: page.heard, interest: { topics: ["run"], runs: [id] } }));

  return {
    follow(query) {
      if (document.activeElement !== find) find.value = query.get("name") ?? "";
      wanted = (query.get("name") ?? "").toLowerCase();
      chosen = query.get("artifact");
      draw();
    },
  };
}
