// Elements are made from text alone, never from markup: whatever a trace holds, it is shown and not run.

/** An element with attributes (functions become listeners) and children (text or elements). */
export function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function fill(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name, value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return made;
}

/** A labelled list of choices: [value, text]. */
export function select(label, choices, value, change) {
  const list = el(
    "select",
    { "aria-label": label, change: (event) => change(event.target.value) },
    choices.map(([key, text]) => el("option", { value: key, selected: key === value }, text)),
  );
  return el("label", { class: "field" }, el("span", {}, label), list);
}

/** A section with a heading and, under it, what the figure shows. */
export function section(title, about, ...children) {
  return el("section", {}, el("h2", {}, title), about ? el("p", { class: "about" }, about) : null, ...children);
}

/** Something wide, which scrolls by itself on a narrow page. */
export function scrolling(label, child) {
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, child);
}

/** Sentences as a list. */
export function sentences(texts) {
  return el("ul", { class: "sentences" }, texts.map((text) => el("li", {}, text)));
}

/** What tells the focused field or button below `root` from its neighbours, after both were made anew. */
export function focused(root) {
  const here = document.activeElement;
  return root.contains(here) && here !== root ? nameOf(here) : null;
}

/** Focus the field or button of that name again. */
export function focusAgain(root, name) {
  [...root.querySelectorAll("select, input, button")].find((one) => nameOf(one) === name)?.focus();
}

function nameOf(field) {
  const label = field.closest("label");
  return `${field.tagName} ${label ? (label.querySelector("span") ?? label).textContent : field.textContent}`;
}
