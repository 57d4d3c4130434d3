/* Connect: what a simulation needs to send its first run here. */

import { makeToken } from "./api.js";
import { openDialog } from "./dialog.js";
import { element, write } from "./elements.js";

const SCRIPT = [
  "from simvue import Run",
  "",
  "with Run() as run:",
  '    run.init(name="my-first-run", folder="/tests")',
  "    for step in range(1000):",
  '        run.log_metrics({"loss": 1 / (step + 1)}, step=step)',
].join("\n");

/** What stands in the file until a token is made. */
const TOKEN = "…";

/** @param {string} token */
export function toml(token) {
  return `[server]\nurl = "${location.origin}"\ntoken = "${token}"\n`;
}

/** The steps to a first run. */
export function connectSteps() {
  const file = element("code", {}, toml(TOKEN));
  const said = element("p", { class: "total", role: "status" });
  const make = element("button", {
    type: "button",
    onclick: async () => {
      make.disabled = true;
      try {
        const { token } = await makeToken({ name: "made for a simulation" });
        write(file, toml(token));
        write(said, "The token is shown this once. It may write runs for a year; the settings can take it away.");
      } catch (error) {
        make.disabled = false;
        write(said, error instanceof Error ? error.message : String(error));
      }
    },
  }, "Make a token");
  return element("ol", { class: "steps" },
    element("li", {}, "Install the client where the simulation runs: ", element("code", {}, "pip install simvue")),
    element("li", {}, "Put this into ", element("code", {}, "simvue.toml"), " beside your script, or into ",
      element("code", {}, "~/.simvue.toml"), ":",
      copied(file), make, said),
    element("li", {}, "Log something:", copied(element("code", {}, SCRIPT))),
    element("li", {}, "The run appears here as soon as it starts."));
}

/** Show the steps over the page. */
export function connect() {
  openDialog("Connect a simulation", connectSteps());
}

/**
 * A text with a button that copies it.
 *
 * @param {HTMLElement} text
 */
export function copied(text) {
  const button = element("button", {
    type: "button", class: "copy",
    onclick: async () => {
      await navigator.clipboard?.writeText(text.textContent ?? "");
      write(button, "Copied");
      setTimeout(() => write(button, "Copy"), 1_200);
    },
  }, "Copy");
  return element("div", { class: "copied" }, element("pre", { tabIndex: 0 }, text), button);
}
