// Say all that is known of what is chosen.

import { h } from "./dom.js";
import { breakable, codeLine, excerpt, facts, keys, links, parameter, prose, section } from "./parts.js";
import { itemId } from "./scene.js";
import { count, ranges, size } from "./spell.js";
import { member, nameOf, places, readName } from "./tensors.js";

const FATES = {
  kept: () => "It is kept as it is.",
  dropped: ({ step }) => `The pass “${step}” drops it: its result is one of its inputs.`,
  folded: ({ step }) => `The pass “${step}” computes it: its result is a constant.`,
  merged: () => "Other operations compute the same; it is computed once.",
  rewritten: ({ step, into }) => `The pass “${step}” writes it as ${into.join(", ")}.`,
  unread: () => "After the passes nothing needs this input: it is not read.",
};

/** Return what the panel shows. `app` answers what is chosen, and takes orders. */
export function panel(app) {
  const id = app.state.chosen;
  if (!id) return overview(app);
  if (app.state.tab === "recipe" && id[0] === "c") return callPanel(app, Number(id.slice(1)));
  if (app.state.tab === "recipe") return recipeNode(app, app.data.recipe.nodes.find((node) => node.id === id));
  if (id[0] === "m") return recipeNode(app, app.modelNode(Number(id.slice(1))));
  const item = app.stage().items.get(itemId(id));
  if (id.includes("#")) return operation(app, item, Number(id.split("#")[1]));
  return { output: outputPanel, fold: foldPanel, family: familyPanel }[item.type](app, item);
}

const heading = (kind, title, sub) =>
  h("header", {}, h("p", { class: `kind k-${kind}` }, sub), h("h2", {}, breakable(title)));

function overview(app) {
  const [main] = app.data.recipe.sources;
  const rows = main.lines.slice(0, 500).map((text, i) => sourceRow(app, text, i + 1));
  const { passes } = app.data.plan;
  const changes = passes.map((step) => [step.name, `${step.nodes_before.toLocaleString("en")} → ${step.nodes_after.toLocaleString("en")} operations`]);
  return [
    heading("model", app.data.title, { recipe: "recipe", graph: "graph", optimized: "optimized graph" }[app.state.tab]),
    h("p", { class: "lead" }, LEADS[app.state.tab]),
    app.state.tab === "recipe" ? null : section("Passes", facts(changes)),
    section("Recipe", h("figure", { class: "source whole" }, h("pre", { tabindex: "0" }, rows))),
    section("Keys", keys([["arrows", "go from box to box"], ["Enter", "choose"], ["Space", "open or fold"], ["+ − 0", "zoom in, out, to all"], ["/", "search"], ["Esc", "choose nothing"]])),
  ].filter(Boolean);
}

const LEADS = {
  recipe: "Each box is a whole model, or what is computed from whole models. Choose one to see where it is written and what it depends on.",
  graph: "One expression for each tensor that is written, before the passes. Layers that are computed alike are folded; open a box to see what is in it. What a pass will drop, share or rewrite is marked.",
  optimized: "What will run. Layers that are computed alike are folded; open a box to see what is in it. Operations that several outputs need are computed once, and marked.",
};

function sourceRow(app, text, line) {
  const nodes = app.data.recipe.nodes;
  const node = nodes.findLast(({ place }) => place && place[0] === 0 && place[1] <= line && line <= place[3]);
  const row = codeLine(line, text, 0, 0, false);
  if (!node) return row;
  row.classList.add("defines");
  row.addEventListener("click", () => app.go("recipe", node.id));
  return row;
}

function recipeNode(app, node) {
  const [title, ...rest] = node.lines;
  const { edges } = app.data.recipe;
  const uses = edges.filter(([, to]) => to === node.id).map(([from, , label]) => app.recipeLink(from, label));
  const users = edges.filter(([from]) => from === node.id).map(([, to, label]) => app.recipeLink(to, label));
  const known = app.data.operations[node.op];
  return [
    heading(node.kind, title, node.type ? `${node.op} : ${node.type}` : "save"),
    rest.length ? h("p", { class: "lead mono" }, rest.join("\n")) : null,
    node.place ? section("Written in", excerpt(app.data.recipe.sources, node.place)) : null,
    node.model ? modelFacts(node.model) : operationFacts(known, node),
    parametersOf(app, node),
    uses.length ? section("Computed from", links(uses)) : null,
    users.length ? section("Used for", links(users)) : null,
  ].filter(Boolean);
}

function callPanel(app, number) {
  const call = app.data.recipe.calls[number];
  const nodes = app.data.recipe.nodes.filter((node) => node.call === number);
  return [
    heading(call.kind, call.lines[0], "method"),
    section("Written in", excerpt(app.data.recipe.sources, call.place)),
    section("Made of", links(nodes.map((node) => app.recipeLink(node.id)), 30)),
  ];
}

const modelFacts = (model) =>
  section(
    "Checkpoint",
    facts([
      ["source", model.source],
      ["tensors", model.tensors.toLocaleString("en")],
      ["parameters", model.parameters.toLocaleString("en")],
      ["bytes", size(model.bytes)],
      ["dtypes", model.dtypes.join(", ")],
      ["layers", model.stacks.map(([prefix, layers]) => `${prefix} ×${layers}`).join(", ")],
    ]),
  );

const operationFacts = (known, node) =>
  known
    ? section(
        "Operation",
        h("p", {}, prose(known.summary)),
        facts([
          ["locality", known.locality],
          ["paper", known.paper && `arXiv:${known.paper}`],
          ["needed for", node.outputs > 1 ? `${node.outputs} outputs, computed once` : ""],
        ]),
      )
    : null;

/** Show the numbers of a node of the Recipe, tensor by tensor as the graph has them. */
function parametersOf(app, node) {
  const index = app.data.recipe.nodes.indexOf(node);
  const found = new Map();
  for (const family of app.families("graph")) {
    const nodes = app.data.graph.expressions[family.data.expression];
    for (const one of family.data.parameters) {
      if (nodes[one.node].origin !== index) continue;
      const key = JSON.stringify([one.label, one.values.map(([value]) => value)]);
      if (!found.has(key)) found.set(key, { one, family, names: [] });
      found.get(key).names.push(nameOf(family));
    }
  }
  if (!found.size) return null;
  const shown = [...found.values()].slice(0, 8);
  return section(
    "Parameters per layer",
    shown.map(({ one, family, names }) => [
      parameter(one, family),
      found.size > 1 ? h("p", { class: "aside" }, `${names[0]}${names.length > 1 ? ` and ${names.length - 1} more` : ""}`) : null,
    ]),
  );
}

function outputPanel(app, item) {
  const save = app.data.recipe.nodes.find((node) => node.id === `s${item.save}`);
  return [
    heading("save", item.title, "output"),
    section("What is written", facts([["tensors", item.tensors.toLocaleString("en")], ["bytes", size(item.bytes)]])),
    section("Written in", excerpt(app.data.recipe.sources, save.place)),
    section("Upstream", links([...item.models].map((model) => app.modelLink(model)))),
    section("In it", links(item.children.map((child) => app.itemLink(child)))),
  ];
}

function foldPanel(app, item) {
  const layers = item.data.indices;
  const copies = item.stacks.reduce((product, stack) => product * stack.indices.length, 1);
  const inner = item.stacks.length > 1;
  return [
    heading("fold", `${item.title}.${ranges(layers, 6)}`, `×${layers.length}, computed alike`),
    section(
      "What is written",
      facts([
        [inner ? "in a layer" : "layers", layers.length.toLocaleString("en")],
        ["tensors", count(item.tensors, "tensor")],
        ["bytes", size(item.bytes)],
        [inner ? "each" : "a layer", size(item.bytes / copies)],
      ]),
    ),
    section("Upstream", links([...item.models].map((model) => app.modelLink(model)))),
    section("In it", links(item.children.map((child) => app.itemLink(child)))),
  ];
}

function familyPanel(app, item) {
  const number = app.state.members.get(item.id);
  const { data } = item;
  const nodes = app.stage().expressions[data.expression];
  const reads = data.reads.filter(Boolean).map((read) => [app.data.models[read[0]], readName(read, item, number)]);
  const perLayer = distinct(data.parameters, nodes);
  return [
    heading("tensor", nameOf(item, number), item.tensors > 1 ? `tensor ×${item.tensors}` : "tensor"),
    item.tensors > 1 ? picker(app, item, number ?? 0) : null,
    section(
      "What is written",
      facts([
        ["type", data.type],
        ["bytes", size(data.bytes)],
        ["in all", item.tensors > 1 ? size(item.bytes) : ""],
        ["to", app.data.saves[item.save]],
        ["operations", nodes.filter((node) => node.op).length],
      ]),
    ),
    section("Upstream", facts(reads)),
    perLayer.length ? section("Parameters per layer", perLayer.map((one) => parameter(one, item, number ?? 0))) : null,
    originsOf(app, nodes),
  ].filter(Boolean);
}

/** Return parameters by what they are of, those that vary first. What a title says already, as `x * 0.7` does, is left out. */
function distinct(parameters, nodes) {
  const found = new Map();
  for (const { node, label, values } of parameters) {
    const [title] = nodes[node].lines;
    if (values.length === 1 && title.split(/[ (),]+/).includes(values[0][0])) continue;
    found.set(JSON.stringify([title, label, values]), { label: `${title}: ${label}`, values });
  }
  return [...found.values()].sort((a, b) => b.values.length - a.values.length).slice(0, 24);
}

function originsOf(app, nodes) {
  const found = [...new Set(nodes.map((node) => node.origin).filter((origin) => origin !== undefined))];
  if (!found.length) return null;
  const { nodes: recipe, sources } = app.data.recipe;
  const result = recipe[found.at(-1)];
  return section("Written in", result.place ? excerpt(sources, result.place) : null);
}

/** Choose one tensor of a family by its layer, and its expert. */
function picker(app, item, number) {
  const found = places(item, number);
  const inputs = item.stacks.map((stack, i) => {
    const select = h("input", {
      type: "range",
      min: 0,
      max: stack.indices.length - 1,
      value: found[i],
      "aria-label": stack.prefix,
      "aria-valuetext": `${stack.indices[found[i]]}`,
      input: (event) => {
        const next = [...found];
        next[i] = Number(event.target.value);
        app.member(item, member(item, next), `${i}`);
      },
      "data-stack": i,
    });
    return h("label", {}, h("span", {}, `${stack.prefix}.`, h("b", {}, `${stack.indices[found[i]]}`)), select);
  });
  return h("div", { class: "picker" }, inputs);
}

function operation(app, item, index) {
  const nodes = app.stage().expressions[item.data.expression];
  const node = nodes[index];
  const boxOf = (i, note) => app.boxLink(`${item.id}#${i}`, note);
  const uses = node.inputs.map(([from, label]) => boxOf(from, label));
  const users = nodes.flatMap((other, i) => other.inputs.filter(([from]) => from === index).map(([, label]) => boxOf(i, label)));
  const number = app.state.members.get(item.id);
  const read = node.leaf === undefined ? null : item.data.reads[node.leaf];
  const origin = node.origin === undefined ? null : app.data.recipe.nodes[node.origin];
  const values = item.data.parameters.filter((one) => one.node === index);
  const title = read ? readName(read, item, number) : node.lines[0];
  return [
    heading(node.kind, title, read ? `tensor of ${app.data.models[read[0]]}` : (node.op ?? "leaf")),
    section("Result", facts([["type", node.type], ["bytes", size(node.bytes)], ["of", nameOf(item, number)], ["output", app.data.saves[item.save]]])),
    node.fate ? section("In the passes", h("p", {}, FATES[node.fate.kind](node.fate))) : null,
    node.from ? section("In the passes", h("p", {}, `It stands for a part of ${node.from}.`)) : null,
    node.op ? operationFacts(app.data.operations[node.op], node) : null,
    values.length ? section("Parameters per layer", values.map((one) => parameter(one, item, number))) : null,
    origin?.place ? section("Written in", excerpt(app.data.recipe.sources, origin.place), links([app.recipeLink(origin.id)])) : null,
    uses.length ? section("Computed from", links(uses)) : null,
    users.length ? section("Used for", links(users)) : section("Used for", links([app.itemLink(item)])),
  ].filter(Boolean);
}
