// Draw a scene as SVG that can be moved, zoomed, walked through with the keyboard, and read out.

import { clear, s } from "./dom.js";
import { HEADER, LINE_HEIGHT, place, short } from "./layout.js";

const CLOSEST = 2.5;

/** Make the canvas. `on.select(id)` and `on.toggle(id)` are told what was chosen; `on.covered()` pixels lie under a legend. */
export function makeCanvas(on) {
  const world = s("g");
  const svg = s(
    "svg",
    { class: "canvas", role: "group", "aria-label": "Graph", tabindex: "0" },
    s("defs", {}, arrowHead("tip", "tip"), arrowHead("tip-on", "tip on")),
    world,
  );
  const canvas = { svg, world, on, view: { x: 0, y: 0, zoom: 1 }, scene: null, drawn: new Map(), whole: null };
  follow(canvas);
  return canvas;
}

function arrowHead(id, name) {
  const shape = s("path", { d: "M0 0.6 L8 4 L0 7.4 Z", class: name });
  return s("marker", { id, viewBox: "0 0 8 8", refX: 7.5, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto" }, shape);
}

/** Draw a scene. What was in view stays where it is if `anchor` names a box in both scenes; else all comes into view. */
export function show(canvas, scene, anchor) {
  const before = anchor && canvas.scene?.boxes.find((box) => box.id === anchor);
  canvas.scene = scene;
  canvas.whole = place(scene);
  draw(canvas);
  const after = before && scene.boxes.find((box) => box.id === anchor);
  if (after) {
    canvas.view.x += (before.x - before.width / 2 - after.x + after.width / 2) * canvas.view.zoom;
    canvas.view.y += (before.y - before.height / 2 - after.y + after.height / 2) * canvas.view.zoom;
    apply(canvas);
  } else {
    fit(canvas);
  }
}

function draw(canvas) {
  canvas.drawn.clear();
  const groups = canvas.scene.boxes.filter((box) => box.open).map((box) => element(canvas, box));
  const arrows = canvas.scene.arrows.map((arrow) => arrowElement(arrow));
  const labels = canvas.scene.arrows.filter((arrow) => arrow.at).map(labelElement);
  const boxes = canvas.scene.boxes.filter((box) => !box.open).map((box) => element(canvas, box));
  clear(canvas.world, groups, arrows, labels, boxes);
}

function element(canvas, box) {
  const [left, top] = [box.x - box.width / 2, box.y - box.height / 2];
  const name = ["box", `k-${box.kind}`, box.open && "open", box.mark].filter(Boolean).join(" ");
  const found = s(
    "g",
    {
      class: name,
      "data-id": box.id,
      role: "button",
      tabindex: "-1",
      transform: `translate(${left.toFixed(1)} ${top.toFixed(1)})`,
      "aria-label": [...box.lines, box.badge, box.note].filter(Boolean).join(", "),
      "aria-expanded": box.openable ? `${Boolean(box.open)}` : null,
    },
    s("rect", { class: "shape", width: box.width.toFixed(1), height: box.height.toFixed(1), rx: 8 }),
    texts(box),
    box.openable ? opener(box) : null,
    box.badge ? badge(box) : null,
  );
  canvas.drawn.set(box.id, found);
  return found;
}

function texts(box) {
  if (box.open) {
    const sub = s("tspan", { class: "line", dx: 10 }, box.lines.slice(1).join(" · "));
    return [s("text", { class: "title", x: 34, y: HEADER / 2 + 4 }, box.lines[0], sub)];
  }
  const left = box.openable ? 32 : 12;
  const found = box.lines.map((line, i) =>
    s("text", { class: i ? "line" : "title", x: i ? 12 : left, y: 20 + i * LINE_HEIGHT }, line),
  );
  if (box.note) found.push(s("text", { class: "note", x: 12, y: 20 + box.lines.length * LINE_HEIGHT }, box.note));
  return found;
}

function opener(box) {
  const y = box.open ? HEADER / 2 : 16;
  const sign = box.open ? "M16 0 h8" : "M16 0 h8 M20 -4 v8";
  return s(
    "g",
    { class: "opener", transform: `translate(0 ${y})` },
    s("rect", { x: 12, y: -8, width: 16, height: 16, rx: 4 }),
    s("path", { d: sign }),
  );
}

function badge(box) {
  const y = box.open ? HEADER / 2 - 9 : 7;
  return s(
    "g",
    { class: "badge", transform: `translate(${(box.width - box.badgeWidth - 8).toFixed(1)} ${y})` },
    s("rect", { width: box.badgeWidth.toFixed(1), height: 18, rx: 9 }),
    s("text", { x: (box.badgeWidth / 2).toFixed(1), y: 13 }, box.badge),
  );
}

function arrowElement(arrow) {
  return s("path", { class: "arrow", d: curve(arrow.points), "data-from": arrow.from, "data-to": arrow.to });
}

function labelElement(arrow) {
  const { x, y } = arrow.at;
  return s("text", { class: "label", x: x.toFixed(1), y: (y + 4).toFixed(1) }, short(arrow.label));
}

/** Return a smooth way through points, which leaves and arrives horizontally. */
function curve(points) {
  const [first, ...rest] = points;
  let [x, y] = [first.x, first.y];
  let path = `M${x.toFixed(1)} ${y.toFixed(1)}`;
  for (const point of rest) {
    if (point.x === x && point.y === y) continue;
    const middle = ((x + point.x) / 2).toFixed(1);
    path += ` C${middle} ${y.toFixed(1)} ${middle} ${point.y.toFixed(1)} ${point.x.toFixed(1)} ${point.y.toFixed(1)}`;
    [x, y] = [point.x, point.y];
  }
  return path;
}

/** Mark what is chosen, and what it is computed from and used for; all else steps back. */
export function highlight(canvas, id) {
  const box = canvas.scene.boxes.find((found) => found.id === id);
  const near = box && !box.open ? related(canvas.scene, id) : null;
  canvas.world.classList.toggle("focused", Boolean(near));
  for (const [key, found] of canvas.drawn) {
    found.classList.toggle("on", Boolean(near?.boxes.has(key)));
    found.classList.toggle("chosen", key === id);
    found.setAttribute("tabindex", key === (id ?? canvas.scene.boxes[0]?.id) ? "0" : "-1");
    found.setAttribute("aria-pressed", `${key === id}`);
  }
  const arrows = canvas.world.querySelectorAll(".arrow");
  canvas.scene.arrows.forEach((arrow, i) => arrows[i].classList.toggle("on", Boolean(near?.arrows.has(arrow))));
}

function related(scene, id) {
  const parents = new Map(scene.boxes.map((box) => [box.id, box.parent]));
  const owner = (detail) => scene.owners?.get(detail) ?? detail;
  const isInside = (box) => box && (box === id || isInside(parents.get(box)));
  const links = [...scene.arrows.flatMap(linksOf), ...(scene.hidden ?? [])];
  const starts = new Set([id, ...links.flat().filter((detail) => isInside(owner(detail)))]);
  const upwards = reached(links, starts, 1, 0);
  const downwards = reached(links, starts, 0, 1);
  const boxes = new Set([id]);
  for (const detail of [...upwards, ...downwards]) {
    for (let box = owner(detail); box; box = parents.get(box)) boxes.add(box);
  }
  for (const box of parents.keys()) if (isInside(box)) boxes.add(box);
  const passes = ([from, to]) => (upwards.has(from) && upwards.has(to)) || (downwards.has(from) && downwards.has(to));
  return { boxes, arrows: new Set(scene.arrows.filter((arrow) => linksOf(arrow).some(passes))) };
}

const linksOf = (arrow) => arrow.links ?? [[arrow.from, arrow.to]];

/** Return all that links lead to from some starts, those included. */
function reached(links, starts, at, next) {
  const ways = Map.groupBy(links, (link) => link[at]);
  const found = new Set(starts);
  const queue = [...starts];
  while (queue.length) {
    for (const link of ways.get(queue.pop()) ?? []) {
      if (!found.has(link[next])) queue.push(link[next]);
      found.add(link[next]);
    }
  }
  return found;
}

function apply({ world, view }) {
  world.setAttribute("transform", `translate(${view.x.toFixed(1)} ${view.y.toFixed(1)}) scale(${view.zoom.toFixed(4)})`);
}

/** Bring all into view, but not so small that nothing can be read. */
export function fit(canvas) {
  const { width, height } = canvas.svg.getBoundingClientRect();
  const { whole, view } = canvas;
  if (!whole || !width) return;
  const [side, top, bottom] = [48, 56, canvas.on.covered() + 16];
  const zoom = Math.min((width - 2 * side) / whole.width, (height - top - bottom) / whole.height);
  view.zoom = Math.max(0.35, Math.min(1.15, zoom));
  view.x = Math.max(side, (width - whole.width * view.zoom) / 2);
  view.y = top + Math.max(0, (height - top - bottom - whole.height * view.zoom) / 2);
  apply(canvas);
}

export function zoomBy(canvas, factor, x, y) {
  const { width, height } = canvas.svg.getBoundingClientRect();
  const [px, py] = [x ?? width / 2, y ?? height / 2];
  const { view } = canvas;
  const zoom = Math.max(0.08, Math.min(CLOSEST, view.zoom * factor));
  view.x = px - ((px - view.x) * zoom) / view.zoom;
  view.y = py - ((py - view.y) * zoom) / view.zoom;
  view.zoom = zoom;
  apply(canvas);
}

/** Move the view so that a box is in it; zoom out for one that is too large, and in for one that is too small. */
export function reveal(canvas, id) {
  const box = canvas.scene.boxes.find((found) => found.id === id);
  if (!box) return;
  const { width, height } = canvas.svg.getBoundingClientRect();
  const { view } = canvas;
  const room = { left: 40, top: 64, right: 40, bottom: 90 };
  const largest = Math.min((width - room.left - room.right) / box.width, (height - room.top - room.bottom) / box.height);
  view.zoom = Math.max(0.45, Math.min(Math.max(view.zoom, 0.7), Math.max(largest, 0.45)));
  view.x = into(view.x, (box.x - box.width / 2) * view.zoom, box.width * view.zoom, room.left, width - room.right);
  view.y = into(view.y, (box.y - box.height / 2) * view.zoom, box.height * view.zoom, room.top, height - room.bottom);
  apply(canvas);
}

/** Return a shift that is as near to the given one as brings a stretch between two ends; its start, where it is too long. */
function into(shift, start, length, from, to) {
  if (length > to - from || shift + start < from) return from - start;
  return Math.min(shift, to - length - start);
}

function follow(canvas) {
  const { svg, on } = canvas;
  const held = new Map();
  let moved = false;
  svg.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      const { left, top } = svg.getBoundingClientRect();
      const step = event.deltaMode === 1 ? 30 : 1;
      zoomBy(canvas, Math.exp(-event.deltaY * step * 0.0015), event.clientX - left, event.clientY - top);
    },
    { passive: false },
  );
  svg.addEventListener("pointerdown", (event) => {
    held.set(event.pointerId, { x: event.clientX, y: event.clientY });
    moved = false;
  });
  svg.addEventListener("pointermove", (event) => {
    const last = held.get(event.pointerId);
    if (!last) return;
    const [dx, dy] = [event.clientX - last.x, event.clientY - last.y];
    if (!moved && Math.hypot(dx, dy) < 4) return;
    moved = true;
    svg.setPointerCapture(event.pointerId);
    const [other] = [...held].filter(([id]) => id !== event.pointerId).map(([, point]) => point);
    if (other) pinch(canvas, last, event, other);
    else {
      canvas.view.x += dx;
      canvas.view.y += dy;
      apply(canvas);
    }
    held.set(event.pointerId, { x: event.clientX, y: event.clientY });
  });
  for (const end of ["pointerup", "pointercancel"]) svg.addEventListener(end, (event) => held.delete(event.pointerId));
  svg.addEventListener("click", (event) => {
    if (moved) return;
    const id = event.target.closest("[data-id]")?.dataset.id;
    if (id && event.target.closest(".opener")) on.toggle(id);
    else on.select(id ?? null);
  });
  svg.addEventListener("dblclick", (event) => {
    const id = event.target.closest("[data-id]")?.dataset.id;
    if (id && !event.target.closest(".opener")) on.toggle(id);
  });
  svg.addEventListener("keydown", (event) => key(canvas, event));
}

function pinch(canvas, last, event, other) {
  const { left, top } = canvas.svg.getBoundingClientRect();
  const before = Math.hypot(last.x - other.x, last.y - other.y);
  const after = Math.hypot(event.clientX - other.x, event.clientY - other.y);
  zoomBy(canvas, after / Math.max(before, 1), other.x - left, other.y - top);
}

function key(canvas, event) {
  const id = event.target.closest("[data-id]")?.dataset.id;
  const done = {
    "+": () => zoomBy(canvas, 1.2),
    "=": () => zoomBy(canvas, 1.2),
    "-": () => zoomBy(canvas, 1 / 1.2),
    0: () => fit(canvas),
    Escape: () => canvas.on.select(null),
    Enter: () => id && canvas.on.select(id),
    " ": () => id && canvas.on.toggle(id),
    ArrowRight: () => step(canvas, id, 1, 0),
    ArrowLeft: () => step(canvas, id, -1, 0),
    ArrowDown: () => step(canvas, id, 0, 1),
    ArrowUp: () => step(canvas, id, 0, -1),
  }[event.key];
  if (!done || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  done();
}

/** Choose the nearest box in a direction. */
function step(canvas, id, dx, dy) {
  const from = canvas.scene.boxes.find((box) => box.id === id);
  const others = canvas.scene.boxes.filter((box) => box !== from);
  const start = from ?? { x: 0, y: 0, width: 0, height: 0 };
  const ahead = others
    .map((box) => ({ box, along: (top(box) - top(start)) * dy + (box.x - start.x) * dx, across: across(box, start, dx) }))
    .filter(({ along }) => along > 1);
  ahead.sort((a, b) => a.along + 3 * a.across - b.along - 3 * b.across);
  const next = from ? ahead[0]?.box : canvas.scene.boxes[0];
  if (!next) return;
  canvas.on.select(next.id);
  canvas.drawn.get(next.id).focus({ preventScroll: true });
  reveal(canvas, next.id);
}

const top = (box) => (box.open ? box.y - box.height / 2 : box.y);

const across = (box, start, dx) => (dx ? Math.abs(top(box) - top(start)) : Math.abs(box.x - start.x) / 4);
