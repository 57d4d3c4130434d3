/* Bulk: what is done to all ticked runs: tagged, moved, deleted. */

import { deleteRun, forget, getRun, listFolders, listTags, updateRun } from "./api.js";
import { ask } from "./dialog.js";
import { element, fill } from "./elements.js";
import { many } from "./format.js";

/** Questions in flight at a time: a browser opens six connections to a server. */
const AT_ONCE = 5;

/**
 * Do something to each of *runs*, a few at a time; stop at the first that fails, and say how many were done.
 *
 * @param {string[]} runs
 * @param {(run: string) => Promise<unknown>} act
 */
async function each(runs, act) {
  const waiting = [...runs];
  let done = 0;
  const work = async () => {
    for (let run = waiting.shift(); run !== undefined; run = waiting.shift()) {
      await act(run);
      done += 1;
    }
  };
  try {
    await Promise.all(Array.from({ length: AT_ONCE }, work));
  } catch (error) {
    waiting.length = 0;
    throw new Error(`${done} of ${many(runs.length, "run")} done, then: ${error instanceof Error ? error.message : error}`);
  }
}

/**
 * A field that offers what there is.
 *
 * @param {string} label
 * @param {() => Promise<string[]>} offer
 */
function offering(label, offer) {
  const list = element("datalist", { id: "offered" });
  const field = element("input", { type: "text", autocomplete: "off", required: true });
  field.setAttribute("list", "offered");
  offer().then((texts) => fill(list, ...texts.map((text) => element("option", { value: text })))).catch(() => {
    // Without what there is to choose from, it can still be typed.
  });
  return { field, parts: [element("label", {}, label, field), list] };
}

/**
 * Ask for a tag to give to the runs, or to take from them.
 *
 * @param {string[]} runs ids
 * @param {() => void} done
 */
export function tagRuns(runs, done) {
  const { field, parts } = offering("Tag", async () => (await listTags()).data.map(({ name }) => name));
  const taken = element("input", { type: "checkbox" });
  ask(`Tag ${many(runs.length, "run")}`, {
    content: [...parts, element("label", { class: "check" }, taken, " take this tag away")],
    verb: "Tag",
    act: async () => {
      const tag = field.value.trim();
      await each(runs, async (id) => {
        const { tags } = await getRun(id);
        const others = tags.filter((known) => known !== tag);
        if (taken.checked === tags.includes(tag)) await updateRun(id, { tags: taken.checked ? others : [...others, tag] });
      });
      forget("tags");
      done();
    },
  });
}

/**
 * Ask for a folder to move the runs to.
 *
 * @param {string[]} runs ids
 * @param {() => void} done
 */
export function moveRuns(runs, done) {
  const { field, parts } = offering("Folder, beginning with /", async () => (await listFolders()).map(({ path }) => path));
  ask(`Move ${many(runs.length, "run")}`, {
    content: parts,
    verb: "Move",
    act: async () => {
      await each(runs, (id) => updateRun(id, { folder: field.value.trim() }));
      forget("folders");
      done();
    },
  });
}

/**
 * Ask to delete the runs for good.
 *
 * @param {string[]} runs ids
 * @param {() => void} done
 */
export function deleteRuns(runs, done) {
  ask(`Delete ${many(runs.length, "run")}`, {
    content: [element("p", {}, "All their metrics, events and attributes go with them. This cannot be undone. "
      + "A run that is still running cannot store anything more.")],
    verb: "Delete for good",
    dangerous: true,
    typed: runs.length === 1 ? "delete" : String(runs.length),
    act: async () => {
      await each(runs, deleteRun);
      forget("folders");
      done();
    },
  });
}
