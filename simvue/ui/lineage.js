/*
 * Lineage: which runs made what this run used, and which used what it made, by the bytes.
 *
 * ::
 *
 *     who made it, or used it too      what this run has      this run      what it made      who used it
 *
 * Artifacts are the same if their checksums are: names and ids do not matter.
 */

import { lineageOf, listArtifacts } from "./api.js";
import { tint } from "./colour.js";
import { element, fill } from "./elements.js";
import { svg } from "./plane.js";
import { runAddress } from "./router.js";

/**
 * @typedef {import("./api.js").Artifact} Artifact
 * @typedef {import("./api.js").Lineage} Lineage
 *
 * @typedef {object} Box
 * @property {string} key
 * @property {string} text
 * @property {number} column 0 to 4
 * @property {string} [href]
 * @property {string} [run] whose colour it has
 * @property {boolean} [self]
 */

/** Artifacts that are looked at: each costs a question. */
const ARTIFACTS_MAX = 100;

/** Pixels of a box and of what lies between boxes. */
const BOX = { width: 190, height: 34 };
const GAP = { x: 56, y: 12 };

/** Letters of a name that a box has room for. */
const LETTERS = 24;

/**
 * @param {import("./app.js").Page} page
 * @param {string} id
 * @returns {import("./run.js").Part}
 */
export function open(page, id) {
  const said = element("p", { class: "total" });
  const place = element("div", { class: "card lineage scrolls" }, "…");
  page.target.append(said, place);
  let drawn = false;
  return {
    follow() {},
    async learn({ run }) {
      if (drawn) return;
      drawn = true;
      try {
        const { signal } = page.scope;
        const all = await listArtifacts(id, signal);
        const artifacts = all.slice(0, ARTIFACTS_MAX);
        const lineages = await Promise.all(artifacts.map((one) => lineageOf(one.id, signal)));
        if (all.length > artifacts.length) said.textContent = `The first ${ARTIFACTS_MAX} of ${all.length} artifacts.`;
        fill(place, artifacts.length ? graph(run, artifacts, lineages, page.visit)
          : element("p", { class: "empty" }, "This run has no artifacts, so nothing tells where its data came from."));
      } catch (error) {
        if (!page.scope.closed) page.heard(error);
      }
    },
  };
}

/**
 * @param {import("./api.js").Run} run
 * @param {Artifact[]} artifacts
 * @param {Lineage[]} lineages
 * @param {import("./app.js").Page["visit"]} visit
 */
function graph(run, artifacts, lineages, visit) {
  /** @type {Map<string, Box>} */
  const boxes = new Map([["self", { key: "self", text: run.name, column: 2, run: run.id, self: true }]]);
  /** @type {[string, string][]} */
  const ties = [];
  artifacts.forEach((artifact, i) => {
    const made = artifact.category === "output";
    const key = `${artifact.category} ${artifact.checksum} ${artifact.name}`;
    boxes.set(key, { key, text: artifact.name, column: made ? 3 : 1, href: runAddress(run.id, { tab: "artifacts", artifact: artifact.id }) });
    ties.push(made ? ["self", key] : [key, "self"]);
    /** @type {(uses: import("./api.js").Use[], column: 0 | 4) => void} */
    const add = (uses, column) => {
      for (const { run: other } of uses) {
        if (other.id === run.id) continue;
        const name = `${column} ${other.id}`;
        boxes.set(name, { key: name, text: other.name, column, run: other.id, href: runAddress(other.id, { tab: "lineage" }) });
        ties.push(column === 0 ? [name, key] : [key, name]);
      }
    };
    const { output, input, code } = lineages[i];
    if (made) add([...input, ...code], 4);
    else add(output, 0);
  });
  return draw([...boxes.values()], ties, visit);
}

/**
 * @param {Box[]} boxes
 * @param {[string, string][]} ties
 * @param {import("./app.js").Page["visit"]} visit
 */
function draw(boxes, ties, visit) {
  const columns = [0, 1, 2, 3, 4].filter((column) => boxes.some((box) => box.column === column));
  const tallest = Math.max(...columns.map((column) => boxes.filter((box) => box.column === column).length));
  const height = tallest * (BOX.height + GAP.y) + GAP.y;
  const width = columns.length * (BOX.width + GAP.x) - GAP.x + 4;
  /** @type {Map<string, { x: number, y: number }>} */
  const places = new Map();
  for (const column of columns) {
    const inside = boxes.filter((box) => box.column === column);
    const top = (height - inside.length * (BOX.height + GAP.y) + GAP.y) / 2;
    inside.forEach((box, i) => places.set(box.key, {
      x: 2 + columns.indexOf(column) * (BOX.width + GAP.x), y: top + i * (BOX.height + GAP.y),
    }));
  }
  const made = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": "Lineage" });
  for (const [from, to] of ties) {
    const [a, b] = [places.get(from), places.get(to)];
    if (!a || !b) continue;
    const [x1, y1, x2, y2] = [a.x + BOX.width, a.y + BOX.height / 2, b.x, b.y + BOX.height / 2];
    const middle = (x1 + x2) / 2;
    made.append(svg("path", { class: "tie", d: `M${x1} ${y1} C${middle} ${y1} ${middle} ${y2} ${x2} ${y2}` }));
  }
  for (const box of boxes) {
    const { x, y } = /** @type {{ x: number, y: number }} */ (places.get(box.key));
    const parts = [
      svg("title", {}, box.text),
      svg("rect", { x, y, width: BOX.width, height: BOX.height, rx: 7, class: box.self ? "box self" : "box" }),
      svg("text", { x: x + (box.run ? 26 : 12), y: y + BOX.height / 2 + 4 },
        box.text.length > LETTERS ? `${box.text.slice(0, LETTERS - 1)}…` : box.text),
    ];
    if (box.run) {
      const dot = svg("circle", { cx: x + 14, cy: y + BOX.height / 2, r: 5 });
      dot.style.fill = tint(box.run);
      parts.push(dot);
    }
    const { href } = box;
    // The router knows the links of HTML only.
    const follow = (/** @type {MouseEvent} */ event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey || !href) return;
      event.preventDefault();
      visit(href);
    };
    made.append(href ? svg("a", { href, onclick: follow }, ...parts) : svg("g", {}, ...parts));
  }
  return made;
}
