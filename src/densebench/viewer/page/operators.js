// Every operator of a step: own time, calls, share, input shapes.

import { ask } from "./api.js";
import { el, section } from "./dom.js";
import { kind } from "./parts.js";
import { table } from "./table.js";
import { count, CATEGORIES, percent } from "./words.js";

export async function operators({ trace, memo }) {
  const byShape = memo.byShape ?? false;
  const { rows } = await ask("operators", { trace: trace.id, by: byShape ? "shape" : "name" });
  const devices = rows.some((row) => row.device);
  const columns = [
    { key: "name", title: "operator", text: (row) => row.name, class: "code" },
    { key: "kind", title: "kind of work", text: (row) => row.kind, cell: (row) => kind(row.category, undefined, row.mixed) },
    ...(devices ? [{ key: "where", title: "where", text: (row) => row.where }] : []),
    number("own_ms", "own time, ms a step", "without the operators that it calls", 3),
    { key: "share", title: "share", about: "of the step's time", text: (row) => percent(row.share), number: true },
    { key: "calls", title: "calls a step", text: (row) => count(row.calls), number: true },
    number("mean_us", "own time, µs a call", null, 1),
    number("total_ms", "total, ms a step", "with the operators that it calls", 3),
    { key: "shape", title: byShape ? "input shapes" : "input shapes (heaviest of)", text: shapeText(byShape), class: "code shapes" },
  ];
  const together = el("input", {
    type: "checkbox",
    checked: byShape,
    change: (event) => {
      memo.byShape = event.target.checked;
      memo.redraw();
    },
  });
  return section(
    "Operators",
    "Means over the recorded steps. A shape is batch x channels x height x width.",
    table({
      caption: `Operators of ${trace.recipe} at batch ${trace.batch}`,
      columns,
      rows: rows.map((row) => ({
        ...row,
        kind: CATEGORIES[row.category].name,
        where: row.device ? "device" : "processor",
      })),
      by: "own_ms",
      search: (row) => `${row.name} ${row.kind} ${row.shape}`,
      tools: [el("label", { class: "check" }, together, "a row for each input shape")],
    }),
  );
}

function number(key, title, about, decimals) {
  return { key, title, about, text: (row) => row[key].toFixed(decimals), number: true };
}

const shapeText = (byShape) => (row) => (byShape || row.shapes < 2 ? row.shape : `${row.shape} (${row.shapes})`);
