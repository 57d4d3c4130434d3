/* Tags: all of them at /dashboard/tags, with their colours and how many runs wear each; `find` narrows. */

import { create, listAll, listRuns, updateTag } from "./api.js";
import { tagMark } from "./badge.js";
import { ask } from "./dialog.js";
import { editor } from "./editor.js";
import { element, fill, keep, write } from "./elements.js";
import { many } from "./format.js";
import { acts, askToRemove, listing } from "./listing.js";
import { Poll } from "./poll.js";
import { address } from "./router.js";

/** @typedef {import("./api.js").Tag} Tag */

/** Milliseconds between looks: tags are made by people. */
const PAUSE = 15_000;

/**
 * @param {import("./app.js").Page} page
 * @returns {import("./app.js").View}
 */
export function open(page) {
  let query = new URLSearchParams();
  /** @type {Tag[]} */
  let tags = [];
  const total = element("p", { class: "total", role: "status" });
  const find = element("input", {
    type: "search", class: "find", placeholder: "Find a tag   /", "aria-label": "Find tags",
    oninput: () => page.go({ find: find.value }, true),
  });
  const { rows, element: table } = listing("Tags", ["Tag", "Colour", "Description", "Runs"]);
  const empty = element("p", { class: "card empty" }, "No tags yet. A tag is there as soon as a run or a folder wears it.");
  fill(page.target, element("div", { class: "head" }, element("h1", {}, "Tags"), total,
    element("button", { type: "button", onclick: () => add() }, "New tag"), find),
  table, empty);
  page.title("Tags");

  const poll = page.scope.own(new Poll(async (signal) => {
    tags = await listAll("tags", signal);
    draw();
  }, { pause: () => PAUSE, heard: page.heard }));

  // There may be thousands: the runs of a tag are counted when its line is first seen.
  const eye = page.scope.own(watch((row) => count(row)));

  const draw = () => {
    const wanted = (query.get("find") ?? "").toLowerCase();
    const shown = tags.filter(({ name }) => name.toLowerCase().includes(wanted));
    write(total, many(shown.length, "tag"));
    table.hidden = shown.length === 0;
    empty.hidden = tags.length > 0;
    keep(rows, shown, (tag) => JSON.stringify(tag), row);
  };

  /** @param {Tag} tag */
  const row = (tag) => {
    const save = (/** @type {Partial<Tag>} */ changes) => updateTag(tag.id, changes).then(() => poll.now());
    const made = element("tr", {},
      element("th", { scope: "row" }, editor({
        label: "Name", value: tag.name, show: (name) => tagMark(name, tag.colour), save: (name) => save({ name }),
      })),
      element("td", {}, editor({
        label: "Colour", value: tag.colour, type: /^#[0-9a-f]{6}$/i.test(tag.colour) ? "color" : "text",
        show: swatch, save: (colour) => save({ colour }),
      })),
      element("td", {}, editor({
        label: "Description", value: tag.description, empty: "Add a description", save: (description) => save({ description }),
      })),
      element("td", {}, element("a", { href: address("/dashboard/runs", { filter: [`has tag.${tag.name}`] }) }, "…")),
      acts("Delete …", `the tag ${tag.name}`, () => drop(tag)));
    made.dataset.tag = tag.name;
    eye.observe(made);
    return made;
  };

  /** @param {HTMLElement} row */
  const count = async (row) => {
    try {
      const { count: found } = await listRuns({
        filters: [`has tag.${row.dataset.tag}`], count: 1, metrics: false, metadata: false, system: false,
      }, page.scope.signal);
      write(/** @type {Element} */ (row.querySelector("td a")), many(found, "run"));
    } catch (error) {
      if (!page.scope.closed) page.heard(error);
    }
  };

  /** @param {Tag} tag */
  const drop = (tag) => askToRemove({
    title: "Delete a tag", collection: "tags", id: tag.id, done: () => poll.now(),
    what: ["This takes the tag ", tagMark(tag.name, tag.colour), " off every run and folder. The runs stay."],
  });

  const add = () => {
    const name = element("input", { type: "text", required: true, autocomplete: "off" });
    const colour = element("input", { type: "color", value: "#2f4fc9" });
    ask("New tag", {
      content: [element("label", {}, "Name", name), element("label", {}, "Colour", colour)],
      verb: "Make it",
      act: async () => {
        await create("tags", { name: name.value, colour: colour.value });
        poll.now();
      },
    });
  };

  return {
    follow(now) {
      query = now;
      if (document.activeElement !== find) find.value = query.get("find") ?? "";
      draw();
    },
  };
}

/**
 * Call *seen* with each observed row, once, when it comes on screen.
 *
 * @param {(row: HTMLElement) => void} seen
 */
function watch(seen) {
  const observer = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      observer.unobserve(target);
      seen(/** @type {HTMLElement} */ (target));
    }
  });
  return { observe: (/** @type {Element} */ row) => observer.observe(row), close: () => observer.disconnect() };
}

/** @param {string} colour */
function swatch(colour) {
  const dot = element("span", { class: "dot" });
  // A colour is whatever somebody sent: the browser takes it if it is one.
  dot.style.background = colour;
  return element("span", {}, dot, " ", element("bdi", {}, colour));
}
