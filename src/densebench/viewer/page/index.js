// The page of the profile viewer: which trace, which view. TensorBoard calls `render` in a frame of its own.

import { ask } from "./api.js";
import { compare } from "./compare.js";
import { el, focusAgain, focused, select } from "./dom.js";
import { memory } from "./memory.js";
import { operators } from "./operators.js";
import { overview } from "./overview.js";
import { followTheme } from "./theme.js";
import { timeline } from "./timeline.js";

const VIEWS = [
  { key: "overview", title: "Overview", draw: overview },
  { key: "operators", title: "Operators", draw: operators },
  { key: "memory", title: "Memory", draw: memory },
  { key: "timeline", title: "Timeline", draw: timeline },
  { key: "compare", title: "Comparison", draw: compare },
];
const KEPT = "densebench.profiles"; // what was chosen, for a reload of the page

export async function render() {
  document.title = "densebench profiles";
  document.documentElement.lang = "en";
  document.head.append(el("link", { rel: "stylesheet", href: new URL("./style.css", import.meta.url).href }));
  followTheme();
  const page = el("div", { id: "profiles" });
  document.body.append(page);
  await start(page);
}

async function start(page) {
  let list;
  try {
    list = await ask("traces");
  } catch (problem) {
    page.replaceChildren(el("p", { class: "problem", role: "alert" }, problem.message));
    return;
  }
  if (!list.traces.length) {
    page.replaceChildren(
      el("h1", {}, "Profiles"),
      el("p", {}, `No trace (*.pt.trace.json) below ${list.folder || "the log folder"} yet: densebench run writes one for each recipe.`),
      el("button", { type: "button", click: () => start(page) }, "Look again"),
    );
    return;
  }
  show(page, list.traces);
}

function show(page, traces) {
  const chosen = { view: "overview", trace: traces[0].id, ...kept() };
  const memos = Object.fromEntries(VIEWS.map((view) => [view.key, { redraw: () => draw() }]));
  const header = el("header", {});
  const main = el("main", { id: "view", role: "tabpanel", tabindex: "-1" });
  let turn = 0;
  page.replaceChildren(header, main);

  async function draw() {
    const trace = traces.find((one) => one.id === chosen.trace) ?? traces[0];
    const view = VIEWS.find((one) => one.key === chosen.view) ?? VIEWS[0];
    const mine = ++turn;
    keep(chosen);
    for (const tab of header.querySelectorAll("[role=tab]")) {
      const here = tab.id === `tab-${view.key}`;
      tab.setAttribute("aria-selected", String(here));
      tab.tabIndex = here ? 0 : -1;
    }
    // the comparison has two choices of its own
    for (const field of header.querySelectorAll(".field")) field.hidden = view.key === "compare";
    main.setAttribute("aria-labelledby", `tab-${view.key}`);
    main.setAttribute("aria-busy", "true");
    const waiting = setTimeout(() => {
      if (mine === turn) main.replaceChildren(el("p", { class: "status", role: "status" }, `Reading ${trace.recipe}, ${(trace.bytes / 1e6).toFixed(1)} MB…`));
    }, 300);
    const focus = focused(main);
    let made;
    try {
      made = await view.draw({ traces, trace, memo: memos[view.key] });
    } catch (problem) {
      made = el("p", { class: "problem", role: "alert" }, problem.message);
    }
    clearTimeout(waiting);
    if (mine !== turn) return; // another one was asked for meanwhile
    main.replaceChildren(made);
    main.dataset.view = view.key;
    main.removeAttribute("aria-busy");
    if (focus) focusAgain(main, focus);
  }

  function pick(recipe, batch) {
    const of = traces.filter((one) => one.recipe === recipe);
    chosen.trace = (of.find((one) => one.batch === batch) ?? of[0]).id;
    head();
    draw();
  }

  function head() {
    const trace = traces.find((one) => one.id === chosen.trace) ?? traces[0];
    const recipes = [...new Set(traces.map((one) => one.recipe))];
    const batches = traces.filter((one) => one.recipe === trace.recipe).map((one) => [one.batch, one.batch]);
    const focus = focused(header);
    header.replaceChildren(
      el("h1", {}, "Profiles"),
      tabs(),
      select("Recipe", recipes.map((one) => [one, one]), trace.recipe, (recipe) => pick(recipe, trace.batch)),
      select("Batch", batches, trace.batch, (batch) => pick(trace.recipe, batch)),
    );
    if (focus) focusAgain(header, focus);
  }

  function tabs() {
    const turnTo = (key) => {
      chosen.view = key;
      draw();
      header.querySelector(`#tab-${key}`).focus();
    };
    const move = (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!step) return;
      const here = VIEWS.findIndex((view) => view.key === chosen.view);
      turnTo(VIEWS[(here + step + VIEWS.length) % VIEWS.length].key);
    };
    return el(
      "div",
      { role: "tablist", "aria-label": "Views", keydown: move },
      VIEWS.map((view) =>
        el("button", { type: "button", role: "tab", id: `tab-${view.key}`, "aria-controls": "view", click: () => turnTo(view.key) }, view.title),
      ),
    );
  }

  head();
  draw();
}

function kept() {
  try {
    const { view, trace } = JSON.parse(sessionStorage.getItem(KEPT) ?? "{}");
    return { ...(view && { view }), ...(trace && { trace }) };
  } catch {
    return {};
  }
}

function keep({ view, trace }) {
  try {
    sessionStorage.setItem(KEPT, JSON.stringify({ view, trace }));
  } catch {
    // a browser that keeps nothing: the page starts anew on a reload
  }
}
