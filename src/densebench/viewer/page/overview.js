// Where a step's time goes, at a glance and in words.

import { ask } from "./api.js";
import { el, scrolling, section, sentences } from "./dom.js";
import { bar, kind, partsTable } from "./parts.js";
import { count, figure, ms, percent } from "./words.js";

export async function overview({ trace }) {
  const found = await ask("overview", { trace: trace.id });
  const steps = found.steps_ms;
  return el(
    "div",
    {},
    section("In words", null, sentences(found.sentences)),
    found.splits.map((split) => {
      const total = split.parts.reduce((sum, part) => sum + part.ms, 0);
      return section(
        `A step on the ${split.where}: ${ms(total)}`,
        `Own time by kind of work, mean of ${steps.length} ${steps.length === 1 ? "step" : "steps"}; ${split.lane}. ${found.step_source}.`,
        bar(split.parts, total),
        partsTable(`A step's time on the ${split.where} by kind of work`, [split]),
      );
    }),
    section("Heaviest operators", "Own time: without the operators that an operator calls.", scrolling("Heaviest operators", top(found.top))),
    steps.length > 1 ? section("Steps", "The length of each recorded step, ms.", stepList(steps)) : null,
  );
}

function top(rows) {
  const most = rows[0]?.own_ms || 1;
  return el(
    "table",
    { class: "small" },
    el("caption", {}, "The operators with the most time of their own"),
    el(
      "thead",
      {},
      el(
        "tr",
        {},
        ["operator", "kind of work", "own time, ms a step", "", "share", "calls a step"].map((title, number) =>
          el(title ? "th" : "td", { scope: title ? "col" : null, class: number === 2 || number > 3 ? "number" : null }, title),
        ),
      ),
    ),
    el(
      "tbody",
      {},
      rows.map((row) =>
        el(
          "tr",
          {},
          el("th", { scope: "row", class: "code" }, row.name),
          el("td", {}, kind(row.category, undefined, row.mixed)),
          el("td", { class: "number" }, row.own_ms.toFixed(3)),
          el(
            "td",
            { class: "gauge" },
            el("span", { class: `part kind${row.category}`, style: `width: ${(100 * row.own_ms) / most}%` }),
          ),
          el("td", { class: "number" }, percent(row.share)),
          el("td", { class: "number" }, count(row.calls)),
        ),
      ),
    ),
  );
}

function stepList(steps) {
  return el("ol", { class: "steps" }, steps.map((one) => el("li", {}, figure(one))));
}
