// Place boxes: tensors below each other as in the model, operations from left to right by dagre.

import { Graph, layout as dagre } from "@dagrejs/dagre";

const TITLE = "600 12.5px ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace";
const LINE = "11.5px ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace";
const SMALL = "600 10.5px system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif";
export const LINE_HEIGHT = 16;
export const HEADER = 36;
const PADDING = 16;
const LONGEST = 46;

const pen = document.createElement("canvas").getContext("2d");

function width(text, font) {
  pen.font = font;
  return pen.measureText(text).width;
}

export const short = (text) =>
  text.length <= LONGEST ? text : `${text.slice(0, LONGEST / 2 - 1)}…${text.slice(-LONGEST / 2)}`;

function measured(box) {
  box.lines = box.lines.map(short);
  box.badgeWidth = box.badge ? width(box.badge, SMALL) + 14 : 0;
  const first = width(box.lines[0], TITLE) + (box.badge ? box.badgeWidth + 8 : 0) + (box.openable ? 20 : 0);
  const others = box.lines.slice(1).map((line) => width(line, LINE));
  const note = box.note ? width(box.note, SMALL) + 4 : 0;
  box.width = Math.max(64, first, note, ...others) + 24;
  if (box.open) box.width = 60 + first + others.reduce((sum, other) => sum + other, 0);
  box.height = (box.lines.length + (box.note ? 1 : 0)) * LINE_HEIGHT + 16;
}

/** Give every box its centre `x`, `y` and a size, every arrow its `points`; return the size of the whole. */
export function place(scene) {
  scene.boxes.forEach(measured);
  const inside = Map.groupBy(scene.boxes, (box) => box.parent);
  const parents = new Map(scene.boxes.map((box) => [box.id, box.parent]));
  const drawn = scene.arrows.filter(({ from, to }) => parents.has(from) && parents.has(to));
  scene.arrows = drawn;
  const arrows = Map.groupBy(drawn, (arrow) => parents.get(arrow.from));
  return placeInside(null, inside, arrows, scene.flow);
}


function placeInside(id, inside, arrows, flow) {
  const boxes = inside.get(id) ?? [];
  for (const box of boxes.filter((found) => found.open)) {
    const inner = placeInside(box.id, inside, arrows, flow);
    box.width = Math.max(box.width, inner.width + 2 * PADDING);
    box.height = inner.height + HEADER + PADDING;
  }
  const own = arrows.get(id) ?? [];
  const whole = flow === "columns" && boxes.some((box) => box.openable) ? columns(boxes, own) : layered(boxes, own);
  for (const box of boxes.filter((found) => found.open)) {
    move(box.id, box.x - box.width / 2 + PADDING, box.y - box.height / 2 + HEADER, inside, arrows);
  }
  return whole;
}

/** Move what is in a box, and what is in that. */
function move(id, dx, dy, inside, arrows) {
  for (const arrow of arrows.get(id) ?? []) {
    arrow.points = arrow.points.map(({ x, y }) => ({ x: x + dx, y: y + dy }));
    if (arrow.at) arrow.at = { x: arrow.at.x + dx, y: arrow.at.y + dy };
  }
  for (const box of inside.get(id) ?? []) {
    box.x += dx;
    box.y += dy;
    if (box.open) move(box.id, dx, dy, inside, arrows);
  }
}

/** Place models in a column, and right of it what is made of them in another. */
function columns(boxes, arrows) {
  const sources = boxes.filter((box) => !box.openable);
  const results = boxes.filter((box) => box.openable);
  const left = column(sources, 0, 28);
  const right = column(results, sources.length ? left.width + 150 : 0, 10);
  const height = Math.max(left.height, right.height);
  for (const box of sources) box.y += (Math.min(height, 1400) - left.height) / 2;
  const byId = new Map(boxes.map((box) => [box.id, box]));
  for (const arrow of arrows) Object.assign(arrow, { points: ends(byId.get(arrow.from), byId.get(arrow.to)), at: null });
  return { width: right.right, height };
}

function column(boxes, left, gap) {
  const width = Math.max(0, ...boxes.filter((box) => !box.open).map((box) => box.width));
  let bottom = -gap;
  for (const box of boxes) {
    box.width = Math.max(width, box.width);
    box.x = left + box.width / 2;
    box.y = bottom + gap + box.height / 2;
    bottom += gap + box.height;
  }
  return { width, height: Math.max(0, bottom), right: left + Math.max(width, ...boxes.map((box) => box.width)) };
}

function ends(from, to) {
  const y = to.open ? to.y - to.height / 2 + HEADER / 2 : to.y;
  return [
    { x: from.x + from.width / 2, y: from.y },
    { x: to.x - to.width / 2, y },
  ];
}

function layered(boxes, arrows) {
  const graph = new Graph({ multigraph: true });
  const ranker = boxes.length > 400 ? "longest-path" : "network-simplex";
  graph.setGraph({ rankdir: "LR", nodesep: 14, ranksep: 52, edgesep: 10, ranker });
  for (const box of boxes) graph.setNode(box.id, { width: box.width, height: box.height });
  arrows.forEach((arrow, i) => {
    const label = arrow.label ? { width: width(short(arrow.label), LINE) + 10, height: 14, labelpos: "c" } : {};
    graph.setEdge(arrow.from, arrow.to, label, `${i}`);
  });
  dagre(graph);
  for (const box of boxes) ({ x: box.x, y: box.y } = graph.node(box.id));
  arrows.forEach((arrow, i) => {
    const found = graph.edge(arrow.from, arrow.to, `${i}`);
    arrow.points = found.points;
    arrow.at = arrow.label ? { x: found.x, y: found.y } : null;
  });
  route(boxes, arrows);
  const { width: across, height } = graph.graph();
  return { width: across, height };
}

/** Let arrows leave at the right of boxes and arrive at the left, and cross columns of boxes straight. */
function route(boxes, arrows) {
  const byId = new Map(boxes.map((box) => [box.id, box]));
  const halves = new Map();
  for (const box of boxes) halves.set(Math.round(box.x), Math.max(halves.get(Math.round(box.x)) ?? 0, box.width / 2));
  const half = (x) => halves.get(Math.round(x)) ?? 0;
  const starts = ports(arrows, byId, "from", (points) => points[1]);
  const ends = ports(arrows, byId, "to", (points) => points.at(-2));
  for (const arrow of arrows) {
    const [from, to] = [byId.get(arrow.from), byId.get(arrow.to)];
    const stops = arrow.points.slice(1, -1).flatMap(({ x, y }) => [
      { x: x - half(x), y },
      { x: x + half(x), y },
    ]);
    arrow.points = [
      { x: from.x + from.width / 2, y: starts.get(arrow) },
      { x: from.x + half(from.x), y: starts.get(arrow) },
      ...stops,
      { x: to.x - half(to.x), y: ends.get(arrow) },
      { x: to.x - to.width / 2, y: ends.get(arrow) },
    ];
  }
}

/** Return at which height of its box each arrow begins or ends: those that come from above, above. */
function ports(arrows, byId, end, next) {
  const found = new Map();
  for (const [id, group] of Map.groupBy(arrows, (arrow) => arrow[end])) {
    const box = byId.get(id);
    const step = Math.min(12, (box.height - 10) / group.length);
    const ordered = [...group].sort((a, b) => next(a.points).y - next(b.points).y);
    ordered.forEach((arrow, i) => found.set(arrow, box.y + (i - (ordered.length - 1) / 2) * step));
  }
  return found;
}
