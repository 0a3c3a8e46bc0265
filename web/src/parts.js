// Parts that panels are made of.

import { h, s } from "./dom.js";
import { ranges } from "./spell.js";
import { valueAt } from "./tensors.js";

export const section = (title, ...content) => h("section", {}, h("h3", {}, title), ...content);

/** A list of facts; those without a value are left out. */
export function facts(pairs) {
  const known = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return h("dl", { class: "facts" }, known.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, typeof value === "string" ? breakable(value) : value)]));
}

/** A list of keys of the keyboard and what they do. */
export const keys = (pairs) => h("dl", { class: "facts keys" }, pairs.flatMap(([key, what]) => [h("dt", {}, key), h("dd", {}, what)]));

/** Let a long name break behind its dots, slashes and underscores. */
export const breakable = (name) => name.split(/(?<=[._/])/).flatMap((part) => [part, h("wbr")]);

/** Show what stands between backticks as code. */
export const prose = (text) => text.split("`").map((part, i) => (i % 2 ? h("code", {}, part) : part));

export const link = (text, action, note) =>
  h("button", { class: "link", type: "button", click: action }, h("span", {}, text), note ? h("small", {}, note) : null);

export const links = (found, most = 12) => {
  const rest = found.length - most;
  return h("div", { class: "links" }, found.slice(0, most), rest > 0 ? h("small", {}, `and ${rest} more`) : null);
};

/** Lines of the recipe, with a place in them marked: `[source, first line, column, last line, column]`. */
export function excerpt(sources, [source, first, start, last, end], around = 1) {
  const { name, lines } = sources[source];
  const [from, to] = [Math.max(1, first - around), Math.min(lines.length, last + around)];
  const rows = [];
  for (let line = from; line <= to; line++) {
    const text = lines[line - 1];
    const inside = line >= first && line <= last;
    const [a, b] = inside ? [line === first ? start : 0, line === last ? end : text.length] : [0, 0];
    rows.push(codeLine(line, text, a, b, inside));
  }
  return h("figure", { class: "source" }, h("figcaption", {}, `${name}, line ${first}`), h("pre", { tabindex: "0" }, rows));
}

export function codeLine(number, text, from, to, inside) {
  const parts = [text.slice(0, from), h("mark", {}, text.slice(from, to)), text.slice(to)];
  return h("span", { class: inside ? "row inside" : "row" }, h("i", {}, `${number}`), inside ? parts : text, "\n");
}

/** A parameter with its value, or with its values along the layers. */
export function parameter({ label, values }, family, number) {
  if (values.length === 1) return h("div", { class: "parameter" }, h("b", {}, label), h("code", {}, values[0][0]));
  const points = perLayer(values, family);
  return h(
    "div",
    { class: "parameter" },
    h("b", {}, label),
    h("code", {}, `${points[0].value} … ${points.at(-1).value}`),
    chart(points, number === undefined ? null : valueAt(values, number)),
    h("details", {}, h("summary", {}, "by layer"), h("pre", { tabindex: "0" }, table(points))),
  );
}

/** Return runs of equal values with the layers that they hold for. */
function perLayer(values, family) {
  const indices = family.stacks[0]?.indices ?? [0];
  const each = family.tensors / indices.length;
  let seen = 0;
  return values.map(([value, run]) => {
    const [from, to] = [Math.floor(seen / each), Math.ceil((seen + run) / each)];
    seen += run;
    return { value, indices: indices.slice(from, to), from, to };
  });
}

const table = (points) => points.map(({ value, indices }) => `${ranges(indices).padEnd(10)} ${value}`).join("\n");

function chart(points, chosen) {
  const [width, height] = [300, 46];
  const numbers = points.map(({ value }) => Number(value)).filter(Number.isFinite);
  const [low, high] = [Math.min(...numbers), Math.max(...numbers)];
  const x = (index) => 2 + (index / points.at(-1).to) * (width - 4);
  const y = (value) => height - 5 - ((Number(value) - low) / (high - low || 1)) * (height - 10);
  const path = points.map(({ value, from, to }, i) => `${i ? "L" : "M"}${x(from)} ${y(value)}H${x(to)}`).join("");
  const dot = points.find(({ value }) => value === chosen);
  return s(
    "svg",
    { class: "spark", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `from ${points[0].value} to ${points.at(-1).value}` },
    s("path", { d: path }),
    dot ? s("circle", { cx: x((dot.from + dot.to) / 2), cy: y(dot.value), r: 4 }) : null,
  );
}
