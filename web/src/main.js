// Put the page together: what is chosen, open and shown, and what changes it.

import { fit, highlight, makeCanvas, reveal, show, zoomBy } from "./canvas.js";
import { clear, h } from "./dom.js";
import { link } from "./parts.js";
import { panel } from "./panel.js";
import { planPage } from "./plan.js";
import { graphScene, recipeScene } from "./scene.js";
import { makeSearch } from "./search.js";
import { indexed } from "./tensors.js";

const TABS = [["recipe", "Recipe"], ["graph", "Graph"], ["optimized", "Optimized"], ["plan", "Plan"]];
const KINDS = {
  recipe: [["checkpoint", "input"], ["model", "model"], ["delta", "difference"], ["mask", "mask, field"], ["stat", "statistic"], ["save", "output"]],
  graph: [["checkpoint", "input"], ["save", "output"], ["fold", "layers alike"], ["tensor", "tensor"], ["pointwise", "pointwise"], ["scan", "in order, by rows"], ["reduction", "reduction"], ["scalar", "scalar"]],
};
const MARKS = {
  graph: [["gone", "dropped or shared by a pass"], ["changed", "rewritten by a pass"]],
  optimized: [["new", "made by a pass"]],
};

const data = JSON.parse(document.getElementById("data").textContent);
const stages = Object.fromEntries(
  ["graph", "optimized"].map((name) => [name, { name, expressions: data[name].expressions, items: indexed(data[name], data.saves) }]),
);
const opened = { recipe: new Set(), graph: new Set(), optimized: new Set() };
if (data.saves.length === 1) for (const name of ["graph", "optimized"]) opened[name].add("o0");
const state = { tab: "recipe", output: null, chosen: null, members: new Map(), open: opened.recipe };

const app = {
  data,
  state,
  stages,
  stage: () => stages[state.tab],
  families: (name) => [...stages[name].items.values()].filter((item) => item.type === "family"),
  modelNode: (model) => data.recipe.nodes.find((node) => node.model && node.model.name === data.models[model]),
  go,
  goTensor,
  focusChosen: () => canvas.drawn.get(state.chosen)?.focus({ preventScroll: true }),
  member,
  recipeLink: (id, note) => {
    const node = data.recipe.nodes.find((found) => found.id === id);
    return link(node.lines.join(" · "), () => go("recipe", id), note);
  },
  modelLink: (model) => link(data.models[model], () => choose(`m${model}`)),
  itemLink: (item) => link(item.type === "fold" ? `${item.title} ×${item.data.indices.length}` : item.title, () => goItem(item), item.data?.type),
  boxLink: (id, note) => link(canvas.scene.boxes.find((box) => box.id === id)?.lines.join(" · ") ?? id, () => choose(id), note),
};

const canvas = makeCanvas({ select: choose, toggle, covered: () => work.getBoundingClientRect().bottom - legend.getBoundingClientRect().top });
const search = makeSearch(app);
const plan = planPage(data);
const aside = h("aside", { "aria-label": "Details", tabindex: "-1" });
const legend = h("div", { class: "legend", "aria-label": "Legend" });
const tabs = TABS.map(([name, title]) =>
  h("button", { type: "button", role: "tab", id: `tab-${name}`, "aria-controls": "main", click: () => go(name, null), keydown: (event) => tabKey(event, name) }, title),
);
const outputs = h(
  "select",
  { "aria-label": "Output", change: (event) => focusOutput(event.target.value) },
  h("option", { value: "" }, "all outputs"),
  data.saves.map((save, i) => h("option", { value: i }, save)),
);
const foldAll = h("button", { type: "button", click: () => foldEverything() }, "Fold all");
const work = h(
  "div",
  { class: "work" },
  canvas.svg,
  h("div", { class: "tools" }, data.saves.length > 1 ? outputs : null, foldAll),
  h(
    "div",
    { class: "zoom" },
    h("button", { type: "button", "aria-label": "Zoom in", click: () => zoomBy(canvas, 1.25) }, "+"),
    h("button", { type: "button", "aria-label": "Zoom out", click: () => zoomBy(canvas, 0.8) }, "−"),
    h("button", { type: "button", "aria-label": "Show all", click: () => fit(canvas) }, "⤢"),
  ),
  legend,
);
const main = h("main", { id: "main", role: "tabpanel", tabindex: "-1" }, work, aside, plan.element);

document.body.append(
  h(
    "header",
    { class: "top" },
    h("h1", {}, h("span", { class: "brand" }, "MergeGraph"), h("span", { class: "name" }, data.title)),
    h("div", { role: "tablist", "aria-label": "Stage" }, tabs),
    search.element,
    h("button", { type: "button", class: "theme", "aria-label": "Light or dark", title: "Light or dark", click: theme }, "◐"),
  ),
  main,
);
document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.target.matches("input, select")) return;
  event.preventDefault();
  search.input.focus();
  search.input.select();
});
new ResizeObserver(() => plan.draw()).observe(plan.element);
go("recipe", null);

function scene() {
  return state.tab === "recipe" ? recipeScene(data, state) : graphScene(data, stages[state.tab], state);
}

/** Show a tab, and choose something in it. */
function go(tab, id) {
  const same = tab === state.tab && canvas.scene;
  state.tab = tab;
  state.chosen = id;
  state.open = opened[tab] ?? state.open;
  for (const [i, [name]] of TABS.entries()) {
    tabs[i].setAttribute("aria-selected", `${name === tab}`);
    tabs[i].tabIndex = name === tab ? 0 : -1;
  }
  main.setAttribute("aria-labelledby", `tab-${tab}`);
  main.dataset.tab = tab;
  if (tab === "plan") {
    plan.draw();
    return;
  }
  if (id && state.output !== null && id[0] !== "m" && !inOutput(id)) focusOutput("", { draw: false });
  openAround(id);
  drawLegend();
  if (!same || id) show(canvas, scene());
  choose(id);
  if (id) reveal(canvas, id);
}

/** Open the boxes that something lies in. */
function openAround(id) {
  const call = state.tab === "recipe" && data.recipe.nodes.find((node) => node.id === id)?.call;
  if (call !== undefined && call !== false) state.open.add(`c${call}`);
}

function inOutput(id) {
  return state.tab === "recipe" ? recipeScene(data, state).boxes.some((box) => box.id === id) : id.startsWith(`o${state.output}`);
}

function choose(id) {
  state.chosen = id;
  highlight(canvas, id);
  clear(aside, panel(app));
  aside.scrollTop = 0;
}

function toggle(id) {
  if (!canvas.scene.boxes.find((box) => box.id === id)?.openable) return choose(id);
  if (state.open.has(id)) state.open.delete(id);
  else state.open.add(id);
  show(canvas, scene(), id);
  choose(id);
  canvas.drawn.get(id)?.focus({ preventScroll: true });
  reveal(canvas, id);
}

function goItem(item) {
  for (let up = item.parent; up; up = up.parent) state.open.add(up.id);
  go(state.tab, item.id);
}

function goTensor(tab, item, number) {
  state.tab = tab;
  state.open = opened[tab];
  state.members.set(item.id, number);
  goItem(item);
}

/** Show another tensor of a family. */
function member(item, number, focus) {
  state.members.set(item.id, number);
  clear(aside, panel(app));
  aside.querySelector(`[data-stack="${focus}"]`)?.focus();
}

function focusOutput(value, { draw = true } = {}) {
  outputs.value = value;
  state.output = value === "" ? null : Number(value);
  if (state.output !== null) for (const name of ["graph", "optimized"]) opened[name].add(`o${state.output}`);
  if (draw) {
    show(canvas, scene());
    choose(null);
  }
}

function foldEverything() {
  state.open.clear();
  show(canvas, scene());
  choose(null);
}

function drawLegend() {
  const shown = state.tab === "recipe" ? KINDS.recipe : KINDS.graph;
  const marks = MARKS[state.tab] ?? [];
  clear(
    legend,
    shown.map(([kind, text]) => h("span", { class: `swatch k-${kind}` }, text)),
    marks.map(([mark, text]) => h("span", { class: `swatch mark ${mark}` }, text)),
  );
}

function tabKey(event, name) {
  const at = TABS.findIndex(([found]) => found === name);
  const next = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: TABS.length - 1 }[event.key];
  if (next === undefined) return;
  const [tab] = TABS[(next + TABS.length) % TABS.length];
  go(tab, null);
  document.getElementById(`tab-${tab}`).focus();
}

function theme() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
}
