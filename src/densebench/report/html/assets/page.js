"use strict";
// The page works without this script as text and tables; with it, it has charts, sorting, filters and a theme.
(() => {
  const root = document.documentElement;
  const { themes, charts } = JSON.parse(document.getElementById("data").textContent);
  const darkByDefault = window.matchMedia("(prefers-color-scheme: dark)");
  const narrow = window.matchMedia("(max-width: 640px)");
  const PAPER = 700; // the width of a chart on paper, in CSS pixels: A4 and Letter within their margins
  let printing = false;

  // Charts: the specifications name colours by tokens, and the theme says what they are.
  const theme = () => (printing ? "light" : root.dataset.theme || (darkByDefault.matches ? "dark" : "light"));
  const paint = (value, colours, key = "") => {
    if (Array.isArray(value)) return value.map((inner) => paint(inner, colours, key));
    if (value && typeof value === "object")
      return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, paint(inner, colours, name)]));
    return typeof value === "string" && key.includes("color") ? (colours[value] ?? value) : value;
  };
  const merged = (base, more) => {
    const both = { ...base };
    for (const [key, value] of Object.entries(more))
      both[key] = value && typeof value === "object" && !Array.isArray(value) ? merged(base[key] ?? {}, value) : value;
    return both;
  };
  const axis = () => ({
    gridcolor: "@grid", linecolor: "@muted", zerolinecolor: "@muted", tickcolor: "@muted", ticks: "outside",
    automargin: true, fixedrange: narrow.matches, title: { standoff: 10 },
  });
  const layoutOf = (view) => merged({
    autosize: !printing, ...(printing ? { width: PAPER } : {}),
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: "system-ui, sans-serif", size: narrow.matches ? 11 : 13, color: "@ink" },
    margin: { l: 12, r: narrow.matches ? 16 : 48, t: 16, b: 44 },
    showlegend: false, hovermode: "closest", dragmode: narrow.matches ? false : "zoom",
    hoverlabel: { align: "left" }, xaxis: axis(), yaxis: axis(),
  }, view.layout);

  const state = new Map(charts.map((chart) => [chart.name, { chart, view: 0, hidden: new Set(chart.hidden) }]));
  const draw = ({ chart, view, hidden }) => {
    if (!window.Plotly) return Promise.resolve(); // its turn comes
    const place = document.getElementById(`chart-${chart.name}`);
    const colours = themes[theme()];
    const data = chart.views[view].data.map((trace) => ({
      ...paint(trace, colours),
      ...(narrow.matches && trace.mode === "markers+text" ? { mode: "markers" } : {}), // names would lie on each other
      visible: hidden.has(trace.legendgroup) ? false : true,
    }));
    const layout = paint(layoutOf(chart.views[view]), colours);
    const config = { displayModeBar: false, responsive: true };
    return Plotly.react(place, data, layout, config).then(() => { place.dataset.drawn = chart.views[view].data.length; });
  };
  const drawAll = () => Promise.all([...state.values()].map(draw));

  // Plotly lies in the page as text and is started after it: the page can be read and sorted before that.
  const start = () => {
    if (!window.Plotly) {
      const script = document.createElement("script");
      script.textContent = document.getElementById("plotly").textContent;
      document.head.append(script);
    }
  };
  // One chart after the other, so that the page answers in between.
  const drawInTurn = (waiting) => {
    const next = waiting.shift();
    if (!next) { root.dataset.ready = "true"; return; }
    draw(next).then(() => setTimeout(drawInTurn, 0, waiting));
  };

  // The text equivalents are made when they are opened: those of a thousand rows would slow the page.
  const element = (tag, text, attributes = {}) => {
    const made = document.createElement(tag);
    made.textContent = text;
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };
  const tableOf = ({ title, headings, lines, text }) => {
    const made = document.createElement("table");
    const kind = (column) => (column < text ? {} : { class: "number" });
    made.createTHead().insertRow().append(...headings.map((one, i) => element("th", one, { scope: "col", ...kind(i) })));
    const rows = made.createTBody();
    for (const line of lines)
      rows.insertRow().append(...line.map((one, i) => (i ? element("td", one, kind(i)) : element("th", one, { scope: "row" }))));
    const place = element("div", "", { class: "wide", tabindex: "0", role: "region", "aria-label": title || "figures" });
    place.append(made);
    return title ? [element("p", title, { class: "note" }), place] : [place];
  };
  document.querySelectorAll("details.figures").forEach((details) =>
    details.addEventListener("toggle", () => {
      details.append(...state.get(details.dataset.chart).chart.figures.flatMap(tableOf));
    }, { once: true }));

  document.querySelectorAll("select[data-chart]").forEach((select) =>
    select.addEventListener("change", () => {
      const one = state.get(select.dataset.chart);
      one.view = Number(select.value);
      draw(one);
    }));
  document.querySelectorAll(".legend button").forEach((button) =>
    button.addEventListener("click", () => {
      const one = state.get(button.dataset.chart);
      const shown = button.getAttribute("aria-pressed") === "true";
      button.setAttribute("aria-pressed", String(!shown));
      one.hidden[shown ? "add" : "delete"](button.dataset.series);
      draw(one);
    }));

  // Theme: the system's, until the button says otherwise.
  const themeButton = document.getElementById("theme");
  const name = () => { themeButton.textContent = theme() === "dark" ? "Light theme" : "Dark theme"; };
  themeButton.hidden = false;
  themeButton.addEventListener("click", () => {
    root.dataset.theme = theme() === "dark" ? "light" : "dark";
    name();
    drawAll();
  });
  darkByDefault.addEventListener("change", () => { name(); drawAll(); });
  narrow.addEventListener("change", drawAll);
  window.addEventListener("beforeprint", () => { printing = true; start(); drawAll(); });
  window.addEventListener("afterprint", () => { printing = false; drawAll(); });

  // The comparison: each heading is a button that sorts; blanks stay at the end either way.
  const table = document.getElementById("table");
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const order = new Intl.Collator(undefined, { numeric: true });
  const keyOf = (row, column, kind) => {
    const cell = row.cells[column];
    if (!cell || cell.colSpan > 1) return null;
    if (kind === "number") return cell.dataset.value === undefined ? null : Number(cell.dataset.value);
    return cell.textContent.trim() || null;
  };
  const sort = (heading) => {
    const { kind } = heading.dataset;
    const first = kind === "text" || "lower" in heading.dataset ? "ascending" : "descending";
    const other = first === "ascending" ? "descending" : "ascending";
    const way = heading.getAttribute("aria-sort") === first ? other : first;
    for (const one of table.tHead.rows[0].cells) one.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", way);
    const keys = new Map(rows.map((row) => [row, keyOf(row, heading.cellIndex, kind)]));
    const sign = way === "ascending" ? 1 : -1;
    const compare = kind === "number" ? (a, b) => a - b : order.compare;
    body.append(...[...rows].sort((a, b) => {
      const [left, right] = [keys.get(a), keys.get(b)];
      if (left === null || right === null) return (left === null) - (right === null);
      return sign * compare(left, right);
    }));
  };
  for (const heading of table.tHead.rows[0].cells) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => sort(heading));
  }

  // Filters
  const [form, size, text, count] = ["filters", "size", "text", "count"].map((id) => document.getElementById(id));
  const searched = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));
  const filter = () => {
    const wanted = text.value.trim().toLowerCase();
    let shown = 0;
    for (const row of rows) {
      const fits = (!size.value || row.dataset.size === size.value) && searched.get(row).includes(wanted);
      row.hidden = !fits;
      shown += fits;
    }
    count.textContent = `${shown} of ${rows.length} rows`;
  };
  form.hidden = false;
  form.addEventListener("submit", (event) => event.preventDefault());
  size.addEventListener("change", filter);
  text.addEventListener("input", filter);
  filter();

  const copy = document.getElementById("copy");
  copy.hidden = !navigator.clipboard;
  copy.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById("command").textContent);
    copy.textContent = "Copied";
  });

  name();
  root.dataset.open = "true";
  window.addEventListener("load", () => setTimeout(() => { start(); drawInTurn([...state.values()]); }, 0));
})();
