// A step's time as bars of its parts, with the figures in a table beside them.

import { el, scrolling } from "./dom.js";
import { CATEGORIES, ms, percent } from "./words.js";

const NAMED = 0.09; // a narrower part has no room for its share

/** A square in the colour of a kind of work. */
export function swatch(category) {
  return el("span", { class: `swatch kind${category}`, "aria-hidden": "true" });
}

/** A kind of work: its square and its name. `mixed`: an operator that is called in several kinds. */
export function kind(category, label = CATEGORIES[category].name, mixed = false) {
  return el("span", { class: "kind" }, swatch(category), mixed ? `mostly ${label}` : label);
}

/** One bar of parts; `scale` is the length of the longest bar, in milliseconds. */
export function bar(parts, scale) {
  const shown = parts.filter((part) => part.ms > 0);
  return el(
    "div",
    { class: "bar", role: "img", "aria-label": shown.map((part) => `${part.label} ${ms(part.ms)}`).join(", ") },
    shown.map((part) =>
      el(
        "span",
        {
          class: `part kind${part.category}`,
          style: `width: ${(100 * part.ms) / scale}%`,
          title: `${part.label}: ${ms(part.ms)}, ${percent(part.share)}`,
        },
        part.ms / scale > NAMED ? percent(part.share) : "",
      ),
    ),
  );
}

/** The parts of one or two bars as a table: a column for each. */
export function partsTable(caption, bars) {
  const kinds = bars[0].parts.map((part) => part.category);
  const made = el(
    "table",
    { class: "small" },
    el("caption", {}, caption),
    el(
      "thead",
      {},
      el(
        "tr",
        {},
        el("th", { scope: "col" }, "kind of work"),
        bars.map((one) => [
          el("th", { scope: "col", class: "number" }, one.name ? `${one.name}, ms a step` : "ms a step"),
          el("th", { scope: "col", class: "number" }, "share"),
        ]),
        bars.length === 2 ? el("th", { scope: "col", class: "number" }, "difference, ms") : null,
      ),
    ),
    el("tbody", {}, kinds.map((category) => partsLine(category, bars))),
  );
  return scrolling(caption, made);
}

function partsLine(category, bars) {
  const found = bars.map((one) => one.parts.find((part) => part.category === category));
  return el(
    "tr",
    {},
    el("th", { scope: "row" }, kind(category, found[0].label)),
    found.map((part) => [
      el("td", { class: "number" }, part.ms.toFixed(3)),
      el("td", { class: "number" }, percent(part.share)),
    ]),
    found.length === 2 ? el("td", { class: "number" }, signed(found[1].ms - found[0].ms)) : null,
  );
}

const signed = (value) => `${value > 0 ? "+" : value < 0 ? "−" : ""}${Math.abs(value).toFixed(3)}`;
