// Find nodes of the recipe and tensors by parts of their names.

import { clear, h } from "./dom.js";
import { matching, wordTest } from "./tensors.js";

const MOST = 60;
const FAR = 100_000;

/** Make the search field with its list of findings. */
export function makeSearch(app) {
  const list = h("ul", { id: "found", role: "listbox", "aria-label": "Found", hidden: true });
  const input = h("input", {
    type: "search",
    placeholder: "Search tensors and operations",
    "aria-label": "Search tensors and operations",
    role: "combobox",
    "aria-controls": "found",
    "aria-expanded": "false",
    autocomplete: "off",
    spellcheck: "false",
  });
  const search = { app, list, input, found: [], at: -1 };
  input.addEventListener("input", () => update(search));
  input.addEventListener("keydown", (event) => key(search, event));
  input.addEventListener("focus", () => input.value && update(search));
  input.addEventListener("blur", () => setTimeout(() => document.activeElement === input || close(search), 150));
  return { input, element: h("div", { class: "search" }, input, h("kbd", {}, "/"), list) };
}

function update(search) {
  const query = search.input.value.trim();
  search.at = -1;
  const { found, more } = query ? find(search.app, query) : { found: [], more: "" };
  search.found = found;
  const rows = found.map((one, i) => row(search, one, i));
  if (query) rows.push(h("li", { class: "more", role: "presentation" }, found.length ? more : "nothing has such a name"));
  clear(search.list, rows);
  search.list.hidden = !query;
  search.input.setAttribute("aria-expanded", `${Boolean(query)}`);
}

function find(app, query) {
  const tests = query.toLowerCase().split(/\s+/).map(wordTest);
  const nodes = app.data.recipe.nodes
    .filter((node) => tests.every((test) => test(node.lines.join(" ").toLowerCase())))
    .map((node) => ({ name: node.lines.join(" · "), note: "recipe", go: () => app.go("recipe", node.id) }));
  const stage = app.state.tab === "graph" ? "graph" : "optimized";
  const tensors = [];
  let all = 0;
  for (const { item, number, name } of matching(app.stages[stage].items, query)) {
    all += 1;
    if (tensors.length < MOST) {
      tensors.push({ name, note: app.data.saves[item.save], go: () => app.goTensor(stage, item, number) });
    }
    if (all >= FAR) break;
  }
  const found = [...nodes.slice(0, MOST / 3), ...tensors].slice(0, MOST);
  const total = nodes.length + all;
  return { found, more: total > found.length ? `${found.length} of ${all >= FAR ? "more than " : ""}${total.toLocaleString("en")}` : `${total} found` };
}

function row(search, { name, note }, i) {
  return h(
    "li",
    { role: "option", id: `found-${i}`, "aria-selected": "false", mousedown: (event) => event.preventDefault(), click: () => choose(search, i) },
    h("span", {}, name),
    h("small", {}, note),
  );
}

function key(search, event) {
  if (event.key === "Escape") close(search);
  if (event.key === "Enter" && search.found.length) choose(search, Math.max(0, search.at));
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step || !search.found.length) return;
  event.preventDefault();
  search.at = (search.at + step + search.found.length) % search.found.length;
  [...search.list.children].forEach((element, i) => element.setAttribute("aria-selected", `${i === search.at}`));
  search.list.children[search.at].scrollIntoView({ block: "nearest" });
  search.input.setAttribute("aria-activedescendant", `found-${search.at}`);
}

function choose(search, i) {
  search.found[i].go();
  close(search);
  search.app.focusChosen();
}

function close(search) {
  search.list.hidden = true;
  search.input.setAttribute("aria-expanded", "false");
  search.input.removeAttribute("aria-activedescendant");
}
