/*
 * Filters: the chips over the table of runs, and the editor that knows what can be asked.
 *
 * A filter is the text that the server takes, `<key> <operator> <value>` and a few others; a chip
 * shows it as it is, so what is read is what is asked.
 */

import { listTags, listFolders } from "./api.js";
import { STATUSES } from "./badge.js";
import { ask } from "./dialog.js";
import { element, fill, keep, write } from "./elements.js";

/**
 * @typedef {object} Field
 * @property {string} title
 * @property {string} [key] of the filter; if there is none, the reader names it
 * @property {string} [family] what stands before a key that the reader names
 * @property {[string, string][]} ops operator and how it reads
 * @property {() => Promise<string[]>} [values] to choose from
 * @property {string} [hint]
 *
 * @typedef {{ field: Field, key: string, op: string, value: string }} Parts
 */

/** @type {[string, string][]} */
const TEXT = [["contains", "contains"], ["not contains", "does not contain"], ["==", "is"], ["!=", "is not"]];
/** @type {[string, string][]} */
const SAME = [["==", "is"], ["!=", "is not"]];
/** @type {[string, string][]} */
const AGE = [["<", "within the last"], [">", "longer ago than"]];
/** @type {[string, string][]} */
const VALUE = [...SAME, [">", ">"], ["<", "<"], [">=", "≥"], ["<=", "≤"], ["contains", "contains"],
  ["exists", "exists"], ["not exists", "does not exist"]];

const OWN = "";
const AGE_HINT = "12h, 3d or 1y";

/** @type {Field[]} */
const FIELDS = [
  { title: "Name", key: "name", ops: TEXT },
  { title: "Status", key: "status", ops: SAME, values: async () => STATUSES },
  {
    title: "Tag", key: "tag", ops: [["has", "has"], ["has not", "has not"]],
    values: async () => (await listTags()).data.map(({ name }) => name),
  },
  {
    title: "Folder", key: "folder.path", ops: [["within", "is or lies in"], ...TEXT],
    values: async () => (await listFolders()).map(({ path }) => path),
  },
  { title: "Description", key: "description", ops: TEXT },
  { title: "Created", key: "created", ops: AGE, hint: AGE_HINT },
  { title: "Started", key: "started", ops: AGE, hint: AGE_HINT },
  { title: "Ended", key: "ended", ops: AGE, hint: AGE_HINT },
  { title: "Modified", key: "modified", ops: AGE, hint: AGE_HINT },
  { title: "Metadata", family: "metadata.", ops: VALUE },
  { title: "System", family: "system.", ops: VALUE, hint: "of hostname, platform.system, cpu.arch, gpu.name …" },
  { title: "Alert", key: "alert.name", ops: SAME },
  { title: "Alert status", key: "alert.status", ops: SAME, values: async () => ["critical", "ok"] },
  { title: "User", key: "user", ops: SAME, values: async () => ["self"] },
  { title: "Starred", key: "starred", ops: [["is", "yes"]] },
  { title: "As the server reads it", key: OWN, ops: [["", ""]], hint: "metadata.seed >= 3" },
];

/** Operators after which no value comes. */
const BARE = new Set(["exists", "not exists", "is"]);

/**
 * Write a filter as the server takes it; an empty text if something is missing.
 *
 * @param {Parts} parts
 */
export function compose({ field, key, op, value }) {
  const text = value.trim();
  if (field.key === OWN) return text;
  if (field.key === "starred") return "starred";
  if (field.key === "tag") return text && `${op} tag.${text}`;
  const named = field.key ?? (key.trim() && `${field.family}${key.trim()}`);
  if (!named) return "";
  if (BARE.has(op)) return `${named} ${op}`;
  return text && `${named} ${op} ${text}`;
}

/**
 * Read a filter apart for the editor; what is none of its own forms stays as it is.
 *
 * @param {string} filter
 * @returns {Parts}
 */
export function parse(filter) {
  const raw = FIELDS[FIELDS.length - 1];
  for (const field of FIELDS) {
    for (const [op] of [...field.ops].sort(([a], [b]) => b.length - a.length)) {
      /** @type {Parts[]} */
      const tried = [];
      if (field.key === "tag") tried.push({ field, key: "", op, value: filter.replace(`${op} tag.`, "") });
      else if (field.family && filter.startsWith(field.family)) {
        const rest = filter.slice(field.family.length);
        const at = rest.indexOf(` ${op}`);
        if (at > 0) tried.push({ field, key: rest.slice(0, at), op, value: rest.slice(at + op.length + 2) });
      } else if (field.key) {
        tried.push({ field, key: "", op, value: filter.slice(`${field.key} ${op} `.length) });
      }
      const found = tried.find((parts) => compose(parts) === filter);
      if (found) return found;
    }
  }
  return { field: raw, key: "", op: "", value: filter };
}

/**
 * Ask for a filter; *keys()* are names of attributes that some runs have, as `metadata.seed`.
 *
 * @param {string} filter what is edited; empty for a new one
 * @param {() => string[]} keys
 * @param {(filter: string) => void} done
 */
export function editFilter(filter, keys, done) {
  const start = filter ? parse(filter) : { field: FIELDS[0], key: "", op: FIELDS[0].ops[0][0], value: "" };
  const field = element("select", { onchange: () => choose() },
    ...FIELDS.map(({ title }, i) => element("option", { value: String(i) }, title)));
  const key = element("input", { type: "text", autocomplete: "off", "aria-label": "Key", placeholder: "key, such as seed" });
  key.setAttribute("list", "filter-keys");
  const op = element("select", { "aria-label": "Comparison", onchange: () => need() });
  const value = element("input", { type: "text", autocomplete: "off", "aria-label": "Value" });
  value.setAttribute("list", "filter-values");
  const names = element("datalist", { id: "filter-keys" });
  const values = element("datalist", { id: "filter-values" });

  const chosen = () => FIELDS[Number(field.value)];
  const need = () => { value.hidden = BARE.has(op.value); };
  const choose = async () => {
    const now = chosen();
    key.hidden = now.family === undefined;
    op.hidden = now.key === OWN;
    fill(op, ...now.ops.map(([text, reads]) => element("option", { value: text }, reads)));
    value.placeholder = now.hint ?? "value";
    fill(names, ...keys().filter((name) => now.family && name.startsWith(now.family))
      .map((name) => element("option", { value: name.slice(now.family?.length) })));
    need();
    fill(values);
    const offered = await now.values?.().catch(() => []) ?? [];
    if (now === chosen()) fill(values, ...offered.map((text) => element("option", { value: text })));
  };
  field.value = String(FIELDS.indexOf(start.field));
  choose();
  key.value = start.key;
  op.value = start.op;
  value.value = start.value;
  need();
  ask(filter ? "Change the filter" : "Filter", {
    content: [element("label", {}, "Field", field), key, op, value, names, values],
    verb: "Filter",
    act: async () => {
      const text = compose({ field: chosen(), key: key.value, op: op.value, value: value.value });
      if (!text) throw new Error("Something is missing: a filter compares a key with a value.");
      done(text);
    },
  });
}

/** The row of chips. */
export class Filters {
  /**
   * @param {(filters: string[]) => void} change
   * @param {() => string[]} keys
   */
  constructor(change, keys) {
    this.change = change;
    this.keys = keys;
    /** @type {string[]} */
    this.filters = [];
    this.list = element("ul", { class: "chips", "aria-label": "Filters" });
    this.wrong = element("p", { class: "wrong", role: "alert", hidden: true });
    this.element = element("div", { class: "filters" },
      this.list,
      element("button", {
        type: "button", onclick: () => editFilter("", keys, (filter) => change([...this.filters, filter])),
      }, "+ Filter"),
      this.wrong);
  }

  /** @param {string[]} filters */
  show(filters) {
    this.filters = filters;
    keep(this.list, filters, (filter) => filter, (filter) => element("li", {},
      element("button", {
        type: "button", class: "plain", title: "Change", dir: "auto",
        onclick: () => editFilter(filter, this.keys, (changed) => (
          this.change(this.filters.map((known) => (known === filter ? changed : known))))),
      }, filter),
      element("button", {
        type: "button", class: "plain", "aria-label": `Remove the filter ${filter}`,
        onclick: () => this.change(this.filters.filter((known) => known !== filter)),
      }, "✕")));
  }

  /**
   * Say what the server says is wrong with a filter; null is nothing.
   *
   * @param {string | null} text
   */
  complain(text) {
    this.wrong.hidden = text === null;
    write(this.wrong, text ?? "");
  }
}
