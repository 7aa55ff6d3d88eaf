// Two recipes operator by operator: what disappeared, what is new, what got faster.

import { ask } from "./api.js";
import { el, section, select, sentences } from "./dom.js";
import { bar, kind, partsTable } from "./parts.js";
import { table } from "./table.js";
import { CATEGORIES, count, ms, saved } from "./words.js";

const CHANGES = ["gone", "new", "faster", "slower", "same", "unclear"];

export async function compare({ traces, trace, memo }) {
  const sides = pick(traces, trace, memo);
  const choices = traces.map((one) => [one.id, `${one.recipe}, batch ${one.batch}`]);
  const choose = (key) => (id) => {
    memo[key] = id;
    memo.redraw();
  };
  const pickers = el(
    "div",
    { class: "tools" },
    select("From", choices, sides.a, choose("a")),
    select("To", choices, sides.b, choose("b")),
    el("button", { type: "button", click: () => { [memo.a, memo.b] = [sides.b, sides.a]; memo.redraw(); } }, "Swap"),
  );
  if (traces.length < 2) return section("Comparison", null, el("p", {}, "A second trace is needed to compare with."));
  const found = await ask("comparison", sides);
  return el(
    "div",
    {},
    section(`${found.a.name} against ${found.b.name}`, null, pickers, sentences(found.sentences)),
    bars(found),
    section(
      "Operator by operator",
      "Own time, ms a step; the most time saved first. Faster and slower: every step of the one differs from every step of the other, and the means by more than 3 %.",
      operatorTable(found, memo),
    ),
  );
}

function pick(traces, trace, memo) {
  const known = (id) => traces.some((one) => one.id === id);
  const baseline = traces.find((one) => one.recipe === "baseline" && one.batch === trace.batch) ?? traces[0];
  const a = known(memo.a) ? memo.a : baseline.id;
  const other = trace.id !== a ? trace : (traces.find((one) => one.id !== a && one.batch === trace.batch) ?? traces.find((one) => one.id !== a));
  return { a, b: known(memo.b) ? memo.b : (other?.id ?? a) };
}

function bars(found) {
  const pairs = found.a.splits
    .map((split) => [split, found.b.splits.find((one) => one.where === split.where)])
    .filter((pair) => pair[1]);
  return pairs.map(([a, b]) => {
    const sums = [a, b].map((split) => split.parts.reduce((sum, part) => sum + part.ms, 0));
    const names = [found.a.name, found.b.name];
    return section(
      `A step on the ${a.where} by kind of work`,
      "Own time, ms a step; both bars on one scale.",
      el(
        "div",
        { class: "bars" },
        [a, b].map((split, number) => [
          el("span", { class: "barname" }, `${names[number]}, ${ms(sums[number])}`),
          bar(split.parts, Math.max(...sums)),
        ]),
      ),
      partsTable(`A step's time on the ${a.where} in both recipes`, [
        { name: names[0], parts: a.parts },
        { name: names[1], parts: b.parts },
      ]),
    );
  });
}

function operatorTable(found, memo) {
  const most = Math.max(...found.rows.map((row) => Math.abs(row.saved_ms)), 1e-9);
  const devices = found.rows.some((row) => row.device);
  const wanted = memo.change ?? "all";
  const rows = found.rows
    .map((row) => ({ ...row, kind: CATEGORIES[row.category].name, where: row.device ? "device" : "processor" }))
    .filter((row) => wanted === "all" || row.change === wanted);
  const tally = (change) => found.rows.filter((row) => row.change === change).length;
  return table({
    caption: `Operators of ${found.a.name} and ${found.b.name}`,
    columns: [
      { key: "name", title: "operator", text: (row) => row.name, class: "code" },
      { key: "change", title: "change", text: (row) => row.change, cell: (row) => el("span", { class: `change ${row.change}` }, row.change) },
      ...(devices ? [{ key: "where", title: "where", text: (row) => row.where }] : []),
      { key: "kind", title: "kind of work", text: (row) => row.kind, cell: (row) => kind(row.category) },
      { key: "a_ms", title: `${found.a.name}, ms`, text: (row) => time(row.a_ms, row.a_calls), number: true },
      { key: "b_ms", title: `${found.b.name}, ms`, text: (row) => time(row.b_ms, row.b_calls), number: true },
      { key: "saved_ms", title: "difference, ms", text: (row) => saved(row.saved_ms), number: true },
      { key: "size", title: "", text: () => "", cell: (row) => lean(row.saved_ms, most), class: "gauge" },
      { key: "a_calls", title: "calls before", text: (row) => calls(row.a_calls), number: true },
      { key: "b_calls", title: "calls after", text: (row) => calls(row.b_calls), number: true },
    ],
    rows,
    by: "saved_ms",
    search: (row) => `${row.name} ${row.kind} ${row.change}`,
    tools: [
      select(
        "Show",
        [["all", `all changes (${found.rows.length})`], ...CHANGES.map((one) => [one, `${one} (${tally(one)})`])],
        wanted,
        (change) => {
          memo.change = change;
          memo.redraw();
        },
      ),
    ],
  });
}

/** A bar to the left for time saved, to the right for time added. */
function lean(savedMs, most) {
  const width = (50 * Math.abs(savedMs)) / most;
  const side = savedMs > 0 ? `right: 50%` : `left: 50%`;
  return el("span", { class: "lean", "aria-hidden": "true" }, el("span", { class: savedMs > 0 ? "less" : "more", style: `${side}; width: ${width}%` }));
}

const time = (value, times) => (times ? value.toFixed(3) : "–");
const calls = (times) => (times ? count(times) : "–");
