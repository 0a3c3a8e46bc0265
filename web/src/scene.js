// Decide what is on the canvas: boxes, boxes of boxes, arrows; what is folded stands for all that is in it.

import { count, ranges, size } from "./spell.js";
import { readName } from "./tensors.js";

const PATH = /^o\d+(?:\/\d+)*/;

/** Return the boxes and arrows of the Recipe, or of what one save needs; what a method is made of is folded. */
export function recipeScene(data, state) {
  const { nodes, edges, calls } = data.recipe;
  const wanted = state.output === null ? null : ancestors(edges, `s${state.output}`);
  const shown = nodes.filter((node) => !wanted || wanted.has(node.id));
  const known = new Set(shown.map((node) => node.id));
  const links = edges.filter(([from, to]) => known.has(from) && known.has(to));
  const open = (call) => call !== undefined && state.open.has(`c${call}`);
  const visible = (node) => (node.call === undefined || open(node.call) ? node.id : `c${node.call}`);
  const boxes = shown.filter((node) => visible(node) === node.id).map((node) => recipeBox(node));
  for (const call of new Set(shown.map((node) => node.call).filter((found) => found !== undefined))) {
    boxes.push({ ...calls[call], id: `c${call}`, parent: null, openable: true, open: open(call) });
  }
  const byId = new Map(shown.map((node) => [node.id, node]));
  return { boxes, arrows: lifted(links, byId), flow: "layered", owners: new Map(shown.map((node) => [node.id, visible(node)])) };
}

const recipeBox = (node) => ({
  id: node.id,
  kind: node.kind,
  lines: node.lines,
  badge: node.outputs > 1 ? `${node.outputs} outputs` : "",
  parent: node.call === undefined ? null : `c${node.call}`,
});

/** Return arrows between boxes that lie beside each other: those into or out of a method end at its box. */
function lifted(links, byId) {
  const arrows = new Map();
  for (const [from, to, label] of links) {
    const [a, b] = [byId.get(from), byId.get(to)];
    const inside = a.call !== undefined && a.call === b.call;
    const end = (node) => (inside || node.call === undefined ? node.id : `c${node.call}`);
    const key = inside ? `${from} ${to} ${label}` : `${end(a)} ${end(b)}`;
    if (!arrows.has(key)) arrows.set(key, { from: end(a), to: end(b), label: inside || b.call === undefined ? label : "", links: [] });
    arrows.get(key).links.push([from, to]);
  }
  return [...arrows.values()];
}

function ancestors(edges, id) {
  const found = new Set([id]);
  const above = new Map();
  for (const [from, to] of edges) above.set(to, [...(above.get(to) ?? []), from]);
  const queue = [id];
  for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
    for (const source of above.get(next) ?? []) {
      if (!found.has(source)) queue.push(source);
      found.add(source);
    }
  }
  return found;
}

/** Return the boxes and arrows of a graph: models, outputs, and what is open of them. */
export function graphScene(data, stage, state) {
  const scene = { boxes: [], arrows: [], hidden: [], flow: "columns" };
  const roots = [...stage.items.values()].filter((item) => item.type === "output");
  const shown = roots.filter((item) => state.output === null || item.save === state.output);
  const models = new Set(shown.flatMap((item) => [...item.models]));
  for (const model of [...models].sort((a, b) => a - b)) {
    const node = data.recipe.nodes.find((found) => found.model && found.model.name === data.models[model]);
    const facts = node ? [`${count(node.model.tensors, "tensor")} · ${size(node.model.bytes)}`] : [];
    scene.boxes.push({ id: `m${model}`, kind: "checkpoint", lines: [data.models[model], ...facts], parent: null });
  }
  for (const item of shown) addItem(scene, data, stage, state, item, null);
  return scene;
}

function addItem(scene, data, stage, state, item, parent) {
  const open = state.open.has(item.id);
  const badge = item.type === "fold" ? `×${item.data.indices.length}` : "";
  const box = { id: item.id, kind: kindOf(item), lines: linesOf(item), badge, parent, openable: true, open };
  scene.boxes.push(box);
  if (!parent) {
    for (const model of item.models) scene.arrows.push({ from: `m${model}`, to: item.id, label: "" });
  }
  if (open && item.type === "family") addExpression(scene, data, stage, item);
  else if (open) for (const child of item.children) addItem(scene, data, stage, state, child, item.id);
}

const kindOf = (item) => ({ output: "save", fold: "fold", family: "tensor" })[item.type];

function linesOf(item) {
  if (item.type === "output") return [item.title, `${count(item.tensors, "tensor")} · ${size(item.bytes)}`];
  if (item.type === "family") return [item.title, item.data.type];
  const each = item.tensors / item.stacks.reduce((product, stack) => product * stack.indices.length, 1);
  const name = item.stacks.length > 1 ? "each" : "a layer";
  const inside = Number.isInteger(each) ? `${count(each, "tensor")} ${name}` : count(item.tensors, "tensor");
  return [`${item.title}.${ranges(item.data.indices)}`, `${inside} · ${size(item.bytes)}`];
}

function addExpression(scene, data, stage, item) {
  const nodes = stage.expressions[item.data.expression];
  nodes.forEach((node, i) => {
    const id = `${item.id}#${i}`;
    scene.boxes.push({ id, parent: item.id, kind: node.kind, ...operation(data, item, node) });
    if (node.leaf !== undefined && item.data.reads[node.leaf]) scene.hidden.push([`m${item.data.reads[node.leaf][0]}`, id]);
    for (const [from, label] of node.inputs) scene.arrows.push({ from: `${item.id}#${from}`, to: id, label });
  });
}

function operation(data, item, node) {
  const fate = node.fate?.kind;
  const gone = fate && fate !== "kept" && fate !== "rewritten";
  if (node.leaf !== undefined) {
    const read = item.data.reads[node.leaf];
    const lines = read ? [data.models[read[0]], readName(read, item)] : node.lines;
    return { lines, mark: gone ? "gone" : "", note: gone ? "not read" : "" };
  }
  const notes = [
    gone && { dropped: `${node.fate.step}: dropped`, folded: `${node.fate.step}: constant`, merged: "shared" }[fate],
    fate === "rewritten" && `${node.fate.step}: ${count(node.fate.into.length, "operation")}`,
    node.from && `from ${node.from}`,
  ];
  return {
    lines: node.lines,
    mark: gone ? "gone" : fate === "rewritten" ? "changed" : node.from ? "new" : "",
    note: notes.filter(Boolean).join(" · "),
    badge: node.outputs > 1 ? `${node.outputs} outputs` : "",
  };
}

/** Return the id of the item that a box belongs to: its own, or that of the family around an operation. */
export const itemId = (id) => id.match(PATH)?.[0];
