// Memory over units: a chart that can be read with the pointer and with the keyboard.

import { clear, h, s } from "./dom.js";
import { percent, seconds, size } from "./spell.js";

const HEIGHT = 300;
const EDGE = { left: 74, right: 20, top: 22, bottom: 36 };

export function timeline(plan) {
  const svg = s("svg", { class: "timeline", tabindex: "0", role: "slider", "aria-label": "Memory over units" });
  const readout = h("p", { class: "readout", "aria-live": "polite" });
  const state = { plan, svg, readout, at: null, scale: null };
  const select = (at) => choose(state, Math.max(0, Math.min(plan.steps.length - 1, at)));
  svg.addEventListener("pointermove", (event) => select(nearest(state, event)));
  svg.addEventListener("keydown", (event) => {
    const last = plan.steps.length - 1;
    const page = Math.ceil(last / 20);
    const now = state.at ?? -1;
    const next = { ArrowRight: now + 1, ArrowLeft: now - 1, PageUp: now + page, PageDown: now - page, Home: 0, End: last }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    select(next);
  });
  const element = h("figure", { class: "chart" }, legend(plan), svg, readout);
  return { element, draw: () => draw(state) };
}

const legend = (plan) =>
  h(
    "figcaption",
    { class: "legend" },
    [
      ["units", "planned"],
      ["base", "interpreter and libraries"],
      plan.steps.some((step) => step.measured) && ["took", "measured"],
      ["peak", `planned peak ${size(plan.planned_peak_bytes)}`],
      ["budget", `allowed ${size(plan.budget_bytes)}`],
      ["bound", `proven bound ${size(plan.lower_bound_bytes)}`],
    ]
      .filter(Boolean)
      .map(([name, text]) => h("span", { class: `key ${name}` }, text)),
  );

function draw(state) {
  const { plan, svg } = state;
  const width = svg.parentElement.getBoundingClientRect().width;
  if (!width) return;
  const peak = Math.max(plan.planned_peak_bytes, plan.lower_bound_bytes, ...plan.steps.map((step) => step.measured?.[1] ?? 0));
  const within = plan.budget_bytes <= 4 * peak;
  const top = (within ? Math.max(plan.budget_bytes, peak) : peak) * 1.08;
  const x = (unit) => EDGE.left + (unit / plan.units) * (width - EDGE.left - EDGE.right);
  const y = (bytes) => HEIGHT - EDGE.bottom - (bytes / top) * (HEIGHT - EDGE.top - EDGE.bottom);
  state.scale = { x, y, width };
  svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
  svg.setAttribute("height", HEIGHT);
  clear(
    svg,
    ticks(top).map((bytes) => [
      s("line", { class: "grid", x1: EDGE.left, x2: width - EDGE.right, y1: y(bytes), y2: y(bytes) }),
      s("text", { class: "tick", x: EDGE.left - 10, y: y(bytes) + 4, "text-anchor": "end" }, bytes ? size(bytes) : "0"),
    ]),
    area("units", plan.steps, x, y, (step) => step.memory),
    s("rect", { class: "base", x: EDGE.left, width: x(plan.units) - EDGE.left, y: y(plan.baseline_bytes), height: y(0) - y(plan.baseline_bytes) }),
    plan.steps.some((step) => step.measured) ? line("took", plan.steps, x, y) : [],
    level("bound", plan.lower_bound_bytes, x, y, plan),
    level("peak", plan.planned_peak_bytes, x, y, plan),
    within ? level("budget", plan.budget_bytes, x, y, plan) : above(plan, width),
    s("text", { class: "tick", x: EDGE.left, y: HEIGHT - 10 }, "first unit"),
    s("text", { class: "tick", x: width - EDGE.right, y: HEIGHT - 10, "text-anchor": "end" }, `unit ${plan.units.toLocaleString("en")}`),
    s("line", { class: "cursor", y1: EDGE.top, y2: HEIGHT - EDGE.bottom, visibility: "hidden" }),
  );
  svg.setAttribute("aria-valuemin", "0");
  svg.setAttribute("aria-valuemax", `${plan.steps.length - 1}`);
  choose(state, state.at ?? plan.steps.reduce((best, step, i) => (step.memory > plan.steps[best].memory ? i : best), 0));
}

function ticks(top) {
  const rough = top / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((found) => found >= rough);
  return Array.from({ length: Math.floor(top / step) + 1 }, (_, i) => i * step);
}

function area(name, steps, x, y, of) {
  const path = steps.map((step) => `L${x(step.first).toFixed(1)} ${y(of(step)).toFixed(1)}H${x(step.last + 1).toFixed(1)}`);
  const end = steps.length ? x(steps.at(-1).last + 1) : EDGE.left;
  return s("path", { class: name, d: `M${EDGE.left} ${y(0)}${path.join("")}L${end.toFixed(1)} ${y(0)}Z` });
}

function line(name, steps, x, y) {
  const path = steps.filter((step) => step.measured).map((step, i) => `${i ? "L" : "M"}${x(step.first).toFixed(1)} ${y(step.measured[1]).toFixed(1)}H${x(step.last + 1).toFixed(1)}`);
  return s("path", { class: name, d: path.join("") });
}

const level = (name, bytes, x, y, plan) => s("line", { class: name, x1: EDGE.left, x2: x(plan.units), y1: y(bytes), y2: y(bytes) });

const above = (plan, width) =>
  s("text", { class: "tick", x: width - EDGE.right, y: 14, "text-anchor": "end" }, `↑ ${size(plan.budget_bytes)} are allowed, far above this chart`);

function nearest({ plan, svg, scale }, event) {
  const at = event.clientX - svg.getBoundingClientRect().left;
  const unit = ((at - EDGE.left) / (scale.width - EDGE.left - EDGE.right)) * plan.units;
  const found = plan.steps.findIndex((step) => step.last + 1 > unit);
  return found < 0 ? plan.steps.length - 1 : found;
}

function choose(state, at) {
  const { plan, svg, readout, scale } = state;
  const step = plan.steps[at];
  if (!step) return;
  state.at = at;
  const cursor = svg.querySelector(".cursor");
  const x = scale.x((step.first + step.last + 1) / 2);
  for (const [name, value] of [["x1", x], ["x2", x], ["visibility", "visible"]]) cursor.setAttribute(name, value);
  const units = step.first === step.last ? `unit ${number(step.first)}` : `units ${number(step.first)} to ${number(step.last)}`;
  const { dearest } = step;
  const others = dearest.more ? ` and ${dearest.more} more` : "";
  clear(
    readout,
    h("b", {}, `${size(step.memory)} at ${units}`),
    h("span", {}, `${percent(step.memory, plan.budget_bytes)} of what is allowed · ${size(step.bytes_read)} read · most for ${dearest.name}${others}, ${dearest.how}`),
    step.measured ? h("span", { class: "measured" }, `measured ${size(step.measured[1])}, ${size(step.measured[2])} read, ${seconds(step.measured[0])}`) : null,
  );
  svg.setAttribute("aria-valuenow", `${at}`);
  svg.setAttribute("aria-valuetext", readout.textContent);
}

const number = (unit) => (unit + 1).toLocaleString("en");
