// Figures and kinds of work as the page writes them.

/** By the numbers that the server sends. */
export const CATEGORIES = [
  { name: "convolution", color: "var(--convolution)" },
  { name: "normalization", color: "var(--normalization)" },
  { name: "concatenation", color: "var(--concatenation)" },
  { name: "copies and conversions", color: "var(--copies)" },
  { name: "other operators", color: "var(--other)" },
  { name: "outside operators", color: "var(--outside)" },
];

/** Three significant digits, never an exponent. */
export function figure(value) {
  if (!value) return "0";
  const size = Math.abs(value);
  const decimals = size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : size >= 0.1 ? 3 : 4;
  return value.toFixed(decimals);
}

export const ms = (value) => `${figure(value)} ms`;
export const percent = (share) => `${(100 * share).toFixed(share && share < 0.0995 ? 1 : 0)} %`;
export const count = (value) => (Number.isInteger(value) ? String(value) : value.toFixed(1));

/** Microseconds in the unit that suits them. */
export function duration(us) {
  const size = Math.abs(us);
  if (size >= 1e6) return `${figure(us / 1e6)} s`;
  return size >= 1000 ? `${figure(us / 1000)} ms` : `${figure(us)} µs`;
}

export function bytes(value) {
  const size = Math.abs(value);
  if (size >= 1e9) return `${figure(value / 1e9)} GB`;
  if (size >= 1e6) return `${figure(value / 1e6)} MB`;
  return size >= 1000 ? `${figure(value / 1000)} kB` : `${value} B`;
}

/** A saving: less is a minus, more a plus. */
export const saved = (value) => (Math.abs(value) < 0.00005 ? "0" : `${value > 0 ? "−" : "+"}${figure(Math.abs(value))}`);

/** Round marks for an axis from `low` to `high`. */
export function marks(low, high, wanted = 8) {
  const rough = (high - low) / wanted;
  if (!(rough > 0)) return [];
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((one) => one >= rough);
  const found = [];
  for (let mark = Math.ceil(low / step) * step; mark <= high + step * 1e-6; mark += step) found.push(mark);
  return found;
}
