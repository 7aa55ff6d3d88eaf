// Memory over time, and who allocated it.

import { ask } from "./api.js";
import { el, section, svg } from "./dom.js";
import { table } from "./table.js";
import { bytes, count, figure, marks } from "./words.js";

const [WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT] = [1000, 320, 70, 44, 22, 12];

export async function memory({ trace }) {
  const found = await ask("memory", { trace: trace.id });
  if (!found.devices.length) {
    return section("Memory over time", null, el("p", {}, "This trace holds no record of memory: not every engine's profiler keeps one."));
  }
  return el("div", {}, found.devices.map((device) => [chart(device, found.steps_ms), allocators(device)]));
}

function chart(device, steps) {
  const end = device.end_ms;
  const start = Math.min(device.time_ms[0], ...steps.map((one) => one[0]));
  const high = Math.max(device.peak_bytes, 1) * 1.05;
  const low = Math.min(0, ...device.low_bytes);
  const x = (at) => LEFT + ((at - start) / (end - start || 1)) * (WIDTH - LEFT - RIGHT);
  const y = (value) => HEIGHT - BOTTOM - ((value - low) / (high - low)) * (HEIGHT - BOTTOM - TOP);
  const peak = `The most is ${bytes(device.peak_bytes)}, at ${figure(device.peak_ms)} ms${device.peak_in ? `, inside ${device.peak_in}` : ""}.`;
  const cursor = svg("line", { class: "cursor", y1: TOP, y2: HEIGHT - BOTTOM, visibility: "hidden" });
  const reading = el("p", { class: "status", role: "status" }, "Point at the chart, or focus it and use the arrow keys, to read values.");
  const read = (index) => {
    const at = device.time_ms[index];
    cursor.setAttribute("x1", x(at));
    cursor.setAttribute("x2", x(at));
    cursor.setAttribute("visibility", "visible");
    const [least, most] = [device.low_bytes[index], device.high_bytes[index]];
    reading.textContent = `${figure(at)} ms: ${least === most ? bytes(most) : `${bytes(least)} to ${bytes(most)}`}`;
  };
  let chosen = 0;
  const drawn = svg(
    "svg",
    {
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
      class: "chart",
      tabindex: "0",
      role: "img",
      "aria-label": `${device.name} over time. ${peak}`,
      pointermove: (event) => {
        const box = drawn.getBoundingClientRect();
        const at = start + (((event.clientX - box.left) / box.width) * WIDTH - LEFT) / (WIDTH - LEFT - RIGHT) * (end - start);
        chosen = nearest(device.time_ms, at);
        read(chosen);
      },
      keydown: (event) => {
        const move = { ArrowLeft: -1, ArrowRight: 1, PageUp: -50, PageDown: 50 }[event.key];
        if (!move) return;
        event.preventDefault();
        chosen = Math.min(device.time_ms.length - 1, Math.max(0, chosen + move));
        read(chosen);
      },
    },
    steps.map(([from, to], number) => [
      svg("rect", { class: `step step${number % 2}`, x: x(from), y: TOP, width: Math.max(0, x(Math.min(to, end)) - x(from)), height: HEIGHT - TOP - BOTTOM }),
      svg("text", { x: x(from) + 4, y: TOP - 7 }, `step ${number + 1}`),
    ]),
    marks(low, high, 5).map((mark) => [
      svg("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(mark), y2: y(mark) }),
      svg("text", { x: LEFT - 8, y: y(mark) + 4, "text-anchor": "end" }, bytes(mark)),
    ]),
    marks(start, end, 10).map((mark) => svg("text", { x: x(mark), y: HEIGHT - BOTTOM + 18, "text-anchor": "middle" }, figure(mark))),
    svg("path", { class: "area", d: `${line(device, x, y)}V${y(low)}H${x(device.time_ms[0])}Z` }),
    svg("path", { class: "line", d: line(device, x, y) }),
    svg("circle", { class: "peak", cx: x(device.peak_ms), cy: y(device.peak_bytes), r: 4 }),
    svg("text", { class: "axis", x: (LEFT + WIDTH - RIGHT) / 2, y: HEIGHT - 6, "text-anchor": "middle" }, "time from the first event, ms"),
    cursor,
  );
  const title = `${device.name[0].toUpperCase()}${device.name.slice(1)} allocated over time`;
  return section(title, `${peak} ${device.allocations} allocations in all; what was there before the profiler started is not counted.`, drawn, reading);
}

/** Steps from value to value, through the highest of each span. */
function line(device, x, y) {
  const points = device.time_ms.map((at, index) => `${index ? "H" : "M"}${x(at).toFixed(1)}${index ? "V" : ","}${y(device.high_bytes[index]).toFixed(1)}`);
  return `${points.join("")}H${x(device.end_ms).toFixed(1)}`;
}

function nearest(times, at) {
  let [low, high] = [0, times.length - 1];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (times[middle] <= at) low = middle;
    else high = middle - 1;
  }
  return low;
}

function allocators(device) {
  return section(
    `Who allocates ${device.name}`,
    "What was allocated inside each operator, with everything that it calls; most of it is freed again at once.",
    table({
      caption: `Bytes of ${device.name} allocated by operator`,
      columns: [
        { key: "name", title: "operator", text: (row) => row.name, class: "code" },
        { key: "bytes", title: "allocated a step", text: (row) => bytes(row.bytes), number: true },
        { key: "count", title: "allocations a step", text: (row) => count(row.count), number: true },
      ],
      rows: device.by_operator,
      by: "bytes",
      search: (row) => row.name,
    }),
  );
}
