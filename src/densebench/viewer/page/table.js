// A table that sorts by its heads and filters by text.

import { el, scrolling } from "./dom.js";

const SHOWN = 200;

/**
 * columns: {key, title, text(row), number: whether it is right-aligned and sorts downwards first, cell(row)}.
 * `by` is the key that it is sorted by at first; `search` gives the text of a row that the filter looks at.
 */
export function table({ caption, columns, rows, by, down = true, search, tools = [] }) {
  const state = { by, down, text: "", all: false };
  const body = el("tbody");
  const status = el("p", { class: "status", role: "status" });
  const heads = columns.map((column) => head(column, state, draw));
  const filter = el("input", {
    type: "search",
    placeholder: "part of a name",
    input: (event) => {
      state.text = event.target.value.toLowerCase();
      draw();
    },
  });
  const more = el("button", { type: "button", click: () => { state.all = true; draw(); } }, "Show all");

  function draw() {
    for (const one of heads) one.show();
    const column = columns.find((one) => one.key === state.by);
    const found = rows.filter((row) => search(row).toLowerCase().includes(state.text));
    const sign = state.down ? -1 : 1;
    found.sort((one, other) => sign * order(one[column.key], other[column.key]));
    const shown = state.all ? found : found.slice(0, SHOWN);
    body.replaceChildren(...shown.map((row) => line(row, columns)));
    more.hidden = shown.length === found.length;
    status.textContent = `${shown.length} of ${rows.length} rows`;
  }

  draw();
  return el(
    "div",
    { class: "table" },
    el("div", { class: "tools" }, el("label", { class: "field" }, el("span", {}, "Filter"), filter), ...tools, status),
    scrolling(
      caption,
      el("table", {}, el("caption", {}, caption), el("thead", {}, el("tr", {}, heads.map((one) => one.cell))), body),
    ),
    more,
  );
}

function head(column, state, draw) {
  const arrow = el("span", { class: "arrow", "aria-hidden": "true" });
  const button = el(
    "button",
    {
      type: "button",
      title: column.about ?? null,
      click: () => {
        state.down = state.by === column.key ? !state.down : Boolean(column.number);
        state.by = column.key;
        draw();
      },
    },
    column.number ? [arrow, column.title] : [column.title, arrow],
  );
  const cell = el("th", { scope: "col", class: column.number ? "number" : null }, button);
  return {
    cell,
    show() {
      const here = state.by === column.key;
      if (here) cell.setAttribute("aria-sort", state.down ? "descending" : "ascending");
      else cell.removeAttribute("aria-sort");
      arrow.textContent = here ? (state.down ? "▼" : "▲") : "";
    },
  };
}

function line(row, columns) {
  return el(
    "tr",
    {},
    columns.map((column, number) =>
      el(
        number ? "td" : "th",
        { scope: number ? null : "row", class: column.number ? "number" : (column.class ?? null) },
        column.cell ? column.cell(row) : column.text(row),
      ),
    ),
  );
}

function order(one, other) {
  return typeof one === "number" ? one - other : String(one).localeCompare(String(other));
}
