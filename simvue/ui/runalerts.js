/* Run alerts: what a run is watched for, and how each alert stands on it; attached and detached here. */

import { editAlert, inWords } from "./alertform.js";
import { getRun, listAll, updateRun } from "./api.js";
import { ask, complain } from "./dialog.js";
import { element, keep, write } from "./elements.js";

/**
 * @param {import("./app.js").Page} page
 * @param {string} id
 * @returns {import("./run.js").Part}
 */
export function open(page, id) {
  const empty = element("p", { class: "empty card", hidden: true }, "No alert watches this run.");
  const list = element("ul", { class: "watches" });
  page.target.append(element("div", { class: "tools" },
    element("button", { type: "button", onclick: () => choose().catch(complain) }, "Attach an alert"),
    element("button", { type: "button", onclick: () => editAlert(null, (made) => attach(made).catch(complain)) }, "New alert")),
  empty, list);

  /** @param {(attached: string[]) => string[]} edit makes of the ids of those that are attached those that are to be */
  const change = async (edit) => {
    const { alerts } = await getRun(id);
    await updateRun(id, { alerts: edit(alerts.map(({ alert }) => alert.id)) });
  };
  const attach = (/** @type {string} */ wanted) => change((attached) => [...attached, wanted]);
  const detach = (/** @type {string} */ unwanted) => change((attached) => attached.filter((known) => known !== unwanted));

  const choose = async () => {
    const [alerts, { alerts: attached }] = await Promise.all([listAll("alerts"), getRun(id)]);
    const others = alerts.filter((one) => attached.every(({ alert }) => alert.id !== one.id));
    const choice = element("select", { required: true }, ...others.map((one) => element("option", { value: one.id }, one.name)));
    ask("Attach an alert", { content: [element("label", {}, "Alert", choice)], verb: "Attach", act: () => attach(choice.value) });
  };

  return {
    follow() {},
    learn({ run }) {
      empty.hidden = run.alerts.length > 0;
      keep(list, run.alerts, ({ alert }) => JSON.stringify(alert), ({ alert }) => element("li", { class: "card" },
        element("span", { class: "verdict" }), element("h3", { dir: "auto" }, alert.name),
        element("p", {}, "Critical when: ", element("bdi", {}, inWords(alert))),
        alert.description && element("p", { class: "total", dir: "auto" }, alert.description),
        element("button", {
          type: "button", "aria-label": `Detach ${alert.name}`, onclick: () => detach(alert.id).catch(complain),
        }, "Detach")),
      (item, { alert, status }) => {
        const verdict = /** @type {HTMLElement} */ (item.firstElementChild);
        verdict.className = `verdict ${status ?? "open"}`;
        write(verdict, alert.enabled ? status ?? "not yet known" : "turned off");
      });
    },
  };
}
