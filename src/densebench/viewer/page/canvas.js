// How a window of the timeline is painted.

import { duration, marks } from "./words.js";

export const ROW = 18;
const HEAD = 24; // a lane's name
const AXIS = 26;
const LEAST_PX = 1;
const NAMED_PX = 34; // a narrower box has no room for a name

/** The page's colours, as its style sheet has them now. */
export function palette() {
  const style = getComputedStyle(document.documentElement);
  const of = (name) => style.getPropertyValue(name).trim();
  const kinds = ["convolution", "normalization", "concatenation", "copies", "other", "outside"];
  return {
    fill: kinds.map((kind) => of(`--${kind}`)),
    ink: kinds.map((kind) => of(`--on-${kind}`)),
    text: of("--text"),
    faint: of("--faint"),
    rule: of("--rule"),
    band: of("--band"),
    ground: of("--ground"),
    chosen: of("--accent"),
  };
}

/** Paint and return where each lane is: {lane, top, rows}. */
export function paint(canvas, width, state, colors) {
  const { data, window: shown, chosen } = state;
  const lanes = layout(data);
  const height = AXIS + lanes.reduce((sum, lane) => sum + HEAD + lane.rows * ROW, 0) + 6;
  const pen = prepare(canvas, width, height);
  const scale = width / (shown[1] - shown[0]);
  const x = (us) => (us - shown[0]) * scale;
  pen.fillStyle = colors.ground;
  pen.fillRect(0, 0, width, height);
  data.steps_us.forEach(([from, to], number) => {
    if (number % 2) return;
    pen.fillStyle = colors.band;
    pen.fillRect(x(from), AXIS, (to - from) * scale, height - AXIS);
  });
  axis(pen, shown, x, width, height, colors);
  let boxes = 0;
  for (const lane of lanes) {
    pen.fillStyle = colors.faint;
    pen.font = "12px system-ui, sans-serif";
    pen.fillText(data.lanes[lane.lane], 6, lane.top - 8);
    for (const row of data.rows.filter((one) => one.lane === lane.lane)) {
      const top = lane.top + row.depth * ROW;
      for (const box of row.boxes) {
        if (box[0] + box[1] < shown[0] || box[0] > shown[1]) continue;
        draw(pen, box, x, scale, top, width, data.texts, colors);
        boxes += 1;
      }
    }
  }
  if (chosen) outline(pen, chosen, lanes, x, scale, colors);
  Object.assign(canvas.dataset, { boxes, start: shown[0], end: shown[1] });
  return lanes;
}

function layout(data) {
  let top = AXIS;
  return data.lanes
    .map((_, lane) => ({ lane, rows: data.deepest[lane] }))
    .filter((lane) => lane.rows)
    .map((lane) => {
      const placed = { ...lane, top: top + HEAD };
      top += HEAD + lane.rows * ROW;
      return placed;
    });
}

function prepare(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const pen = canvas.getContext("2d");
  pen.scale(ratio, ratio);
  pen.textBaseline = "alphabetic";
  return pen;
}

function axis(pen, shown, x, width, height, colors) {
  pen.font = "12px system-ui, sans-serif";
  for (const mark of marks(shown[0], shown[1], Math.max(2, Math.floor(width / 120)))) {
    pen.fillStyle = colors.rule;
    pen.fillRect(x(mark), AXIS - 8, 1, height - AXIS + 8);
    pen.fillStyle = colors.faint;
    const text = mark ? duration(mark) : "0";
    if (x(mark) + 4 + pen.measureText(text).width < width) pen.fillText(text, x(mark) + 4, AXIS - 10);
  }
}

function draw(pen, box, x, scale, top, width, texts, colors) {
  const [start, length, name, category, , , , events] = box;
  const left = Math.max(-2, x(start));
  const right = Math.min(width + 2, x(start + length));
  const wide = Math.max(LEAST_PX, right - left);
  pen.globalAlpha = name < 0 ? 0.55 : 1;
  pen.fillStyle = colors.fill[category];
  pen.fillRect(left, top, wide > 3 ? wide - 0.5 : wide, ROW - 2);
  pen.globalAlpha = 1;
  if (wide < NAMED_PX) return;
  pen.fillStyle = colors.ink[category];
  pen.font = "11px ui-monospace, monospace";
  const room = wide - Math.max(0, -left) - 8;
  const fits = Math.floor(room / 6.7);
  const text = name < 0 ? `${events} calls` : texts[name];
  if (fits > 2) pen.fillText(text.length > fits ? `${text.slice(0, fits - 1)}…` : text, Math.max(0, left) + 4, top + 12);
}

function outline(pen, { lane, depth, box }, lanes, x, scale, colors) {
  const place = lanes.find((one) => one.lane === lane);
  if (!place) return;
  pen.strokeStyle = colors.chosen;
  pen.lineWidth = 2.5;
  pen.strokeRect(x(box[0]) - 1, place.top + depth * ROW - 1, Math.max(3, box[1] * scale) + 1.5, ROW);
}

/** The lane and depth at a height of the canvas. */
export function placeOf(lanes, y) {
  for (const { lane, top, rows } of lanes ?? []) {
    const depth = Math.floor((y - top) / ROW);
    if (depth >= 0 && depth < rows) return { lane, depth };
  }
  return null;
}
