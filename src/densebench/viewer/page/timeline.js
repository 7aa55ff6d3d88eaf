// A trace over time: a row for each level of calls, zoomed with wheel, drag or keys.

import { ask } from "./api.js";
import { el, section } from "./dom.js";
import { palette, paint, placeOf, ROW } from "./canvas.js";
import { CATEGORIES, duration } from "./words.js";

const LEAST_US = 0.05; // the narrowest window
const ZOOM = 1.25;
const PAN = 0.2; // of the window
const WAIT_MS = 90; // after the last movement, before the server is asked
const HELP =
  "Wheel or W and S zoom, drag or the arrow keys left and right (A and D) pan, 0 shows all, full stop and comma go to the next and the previous call, up and down to the caller and the called, Enter zooms to the chosen call.";

export async function timeline({ trace, memo }) {
  const first = await ask("timeline", { trace: trace.id, width: 1200 });
  const known = memo.id === trace.id ? memo.window : null;
  const state = { data: first, window: known ?? [0, first.span_us], chosen: null, busy: false };
  memo.id = trace.id;
  const canvas = el("canvas", { tabindex: "0", role: "application", "aria-label": `Timeline of ${trace.recipe} at batch ${trace.batch}`, "aria-describedby": "timeline-help" });
  const tip = el("div", { class: "tip", hidden: true });
  const details = el("p", { class: "status", role: "status" }, "Choose a call to read about it.");
  const holder = el("div", { class: "canvas" }, canvas, tip);
  const stage = { canvas, tip, details, holder, state, trace, memo, colors: null, timer: 0, turn: 0 };
  listen(stage);
  return section(
    `Timeline: ${duration(first.span_us)}`,
    null,
    legend(),
    holder,
    details,
    el("p", { class: "about", id: "timeline-help" }, HELP),
  );
}

function legend() {
  return el("ul", { class: "legend" }, CATEGORIES.map((one, number) => el("li", {}, el("span", { class: `swatch kind${number}`, "aria-hidden": "true" }), one.name)));
}

function listen(stage) {
  const { canvas } = stage;
  canvas.addEventListener("wheel", (event) => wheel(stage, event), { passive: false });
  canvas.addEventListener("pointerdown", (event) => drag(stage, event));
  canvas.addEventListener("pointermove", (event) => hover(stage, event));
  canvas.addEventListener("pointerleave", () => { stage.tip.hidden = true; });
  canvas.addEventListener("dblclick", () => zoomTo(stage, stage.state.chosen));
  canvas.addEventListener("keydown", (event) => key(stage, event));
  new ResizeObserver(() => redraw(stage, true)).observe(stage.holder);
  const theme = () => {
    if (!canvas.isConnected) return window.removeEventListener("themechange", theme);
    stage.colors = palette();
    redraw(stage);
  };
  window.addEventListener("themechange", theme);
}

/** Draw what is there; `anew` asks for the window in the detail that it needs. */
function redraw(stage, anew = false) {
  const { canvas, holder, state, memo } = stage;
  if (!canvas.isConnected || !holder.clientWidth) return;
  stage.colors ??= palette();
  memo.window = state.window;
  state.drawn = paint(canvas, holder.clientWidth, state, stage.colors);
  if (anew) {
    canvas.setAttribute("aria-busy", "true");
    clearTimeout(stage.timer);
    stage.timer = setTimeout(() => fetchWindow(stage), WAIT_MS);
  }
}

/** The window with as much again on both sides, so that a drag shows something at once. */
async function fetchWindow(stage) {
  const { state, holder, trace, canvas } = stage;
  const mine = ++stage.turn;
  const [start, end] = state.window;
  const width = end - start;
  const [from, to] = [Math.max(0, start - width), Math.min(state.data.span_us, end + width)];
  const pixels = Math.max(1, Math.min(4000, Math.round((holder.clientWidth * (to - from)) / width)));
  try {
    const found = await ask("timeline", { trace: trace.id, start: from, end: to, width: pixels });
    if (mine !== stage.turn) return;
    state.data = found;
    canvas.removeAttribute("aria-busy");
    redraw(stage);
  } catch (problem) {
    if (mine === stage.turn) stage.details.textContent = problem.message;
  }
}

function move(stage, start, end) {
  const span = stage.state.data.span_us;
  const width = Math.min(span, Math.max(LEAST_US, end - start));
  const from = Math.min(Math.max(0, start), span - width);
  stage.state.window = [from, from + width];
  redraw(stage, true);
}

function zoom(stage, factor, at = null) {
  const [start, end] = stage.state.window;
  const fixed = at ?? (start + end) / 2;
  move(stage, fixed - (fixed - start) * factor, fixed + (end - fixed) * factor);
}

function pan(stage, part) {
  const [start, end] = stage.state.window;
  move(stage, start + part * (end - start), end + part * (end - start));
}

function timeAt(stage, x) {
  const [start, end] = stage.state.window;
  return start + (x / stage.holder.clientWidth) * (end - start);
}

function wheel(stage, event) {
  event.preventDefault();
  stage.tip.hidden = true;
  if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) pan(stage, Math.sign(event.deltaX || event.deltaY) * PAN);
  else zoom(stage, event.deltaY > 0 ? ZOOM : 1 / ZOOM, timeAt(stage, event.offsetX));
}

function drag(stage, event) {
  if (event.button) return;
  const { canvas, state, holder } = stage;
  const [start, end] = state.window;
  const from = event.clientX;
  let moved = false;
  canvas.setPointerCapture(event.pointerId);
  const follow = (next) => {
    const by = ((from - next.clientX) / holder.clientWidth) * (end - start);
    moved ||= Math.abs(next.clientX - from) > 3;
    if (moved) move(stage, start + by, end + by);
  };
  const release = (last) => {
    canvas.removeEventListener("pointermove", follow);
    canvas.removeEventListener("pointerup", release);
    canvas.removeEventListener("pointercancel", release);
    if (!moved) choose(stage, hit(stage, last));
  };
  canvas.addEventListener("pointermove", follow);
  canvas.addEventListener("pointerup", release);
  canvas.addEventListener("pointercancel", release);
}

function hit(stage, event) {
  const place = placeOf(stage.state.drawn, event.offsetY);
  if (!place) return null;
  const at = timeAt(stage, event.offsetX);
  const slack = ((stage.state.window[1] - stage.state.window[0]) / stage.holder.clientWidth) * 1.5;
  const row = stage.state.data.rows.find((one) => one.lane === place.lane && one.depth === place.depth);
  const box = row?.boxes.find((one) => one[0] - slack <= at && at <= one[0] + one[1] + slack);
  return box ? { ...place, box } : null;
}

function hover(stage, event) {
  const found = event.buttons ? null : hit(stage, event);
  stage.tip.hidden = !found;
  if (!found) return;
  stage.tip.replaceChildren(...describe(stage, found.box).map((line, number) => el(number ? "div" : "strong", {}, line)));
  const left = Math.min(event.offsetX + 14, stage.holder.clientWidth - stage.tip.offsetWidth - 4);
  stage.tip.style.left = `${Math.max(0, left)}px`;
  stage.tip.style.top = `${event.offsetY + ROW}px`;
}

function describe(stage, [start, length, name, category, own, shape, layer, events]) {
  const text = (number) => (number < 0 ? null : stage.state.data.texts[number]);
  if (name < 0) {
    return [`${events} short calls`, `${duration(length)} from ${duration(start)}; mostly ${CATEGORIES[category].name}`, "zoom in to see them"];
  }
  return [
    text(name),
    `${duration(length)}, of that ${duration(own)} its own; ${CATEGORIES[category].name}`,
    `starts at ${duration(start)}`,
    text(shape) && `inputs ${text(shape)}`,
    text(layer) && `layer ${text(layer)}`,
  ].filter(Boolean);
}

function choose(stage, found) {
  stage.state.chosen = found;
  stage.details.textContent = found ? describe(stage, found.box).join(" · ") : "Choose a call to read about it.";
  redraw(stage);
}

function zoomTo(stage, chosen) {
  if (!chosen) return;
  const [start, length] = chosen.box;
  const margin = Math.max(length * 0.1, LEAST_US);
  move(stage, start - margin, start + length + margin);
}

/** The box beside, above or below the chosen one; the first of all if none is chosen. */
function neighbour(stage, along, deeper) {
  const { state } = stage;
  const [from, to] = state.window;
  const visible = (row) => row.boxes.filter((box) => box[0] < to && box[0] + box[1] > from);
  const rowOf = (lane, depth) => state.data.rows.find((row) => row.lane === lane && row.depth === depth);
  if (!state.chosen) {
    const row = state.data.rows.find((one) => visible(one).length);
    return row ? { lane: row.lane, depth: row.depth, box: visible(row)[0] } : null;
  }
  const { lane, depth, box } = state.chosen;
  if (deeper) {
    const other = rowOf(lane, depth + deeper);
    const inside = other?.boxes.find((one) => one[0] + one[1] > box[0] && one[0] < box[0] + box[1]);
    return inside ? { lane, depth: depth + deeper, box: inside } : state.chosen;
  }
  const boxes = rowOf(lane, depth)?.boxes ?? [];
  const next = along > 0 ? boxes.find((one) => one[0] > box[0]) : boxes.findLast((one) => one[0] < box[0]);
  return next ? { lane, depth, box: next } : state.chosen;
}

function go(stage, along, deeper) {
  const found = neighbour(stage, along, deeper);
  choose(stage, found);
  if (!found) return;
  const [from, to] = stage.state.window;
  const middle = found.box[0] + found.box[1] / 2;
  if (middle < from || middle > to) move(stage, middle - (to - from) / 2, middle + (to - from) / 2);
}

const KEYS = {
  ArrowLeft: (stage) => pan(stage, -PAN),
  ArrowRight: (stage) => pan(stage, PAN),
  a: (stage) => pan(stage, -PAN),
  d: (stage) => pan(stage, PAN),
  w: (stage) => zoom(stage, 1 / ZOOM),
  s: (stage) => zoom(stage, ZOOM),
  "+": (stage) => zoom(stage, 1 / ZOOM),
  "-": (stage) => zoom(stage, ZOOM),
  0: (stage) => move(stage, 0, stage.state.data.span_us),
  Home: (stage) => move(stage, 0, stage.state.data.span_us),
  ".": (stage) => go(stage, 1, 0),
  ",": (stage) => go(stage, -1, 0),
  ArrowUp: (stage) => go(stage, 0, -1),
  ArrowDown: (stage) => go(stage, 0, 1),
  Enter: (stage) => zoomTo(stage, stage.state.chosen),
};

function key(stage, event) {
  const act = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  act(stage);
}
