// The plan: what it reads and writes, and how much memory it takes when.

import { h } from "./dom.js";
import { count, percent, size } from "./spell.js";
import { timeline } from "./timeline.js";

export function planPage(data) {
  const { plan } = data;
  const chart = timeline(plan);
  const read = block("Bytes read from each input", readLead(plan), inputs(plan));
  const written = block(plan.outputs.length > 1 ? "Outputs" : "Output", null, outputs(plan));
  const changed = block("Passes", "What each pass does to the distinct operations of all tensors.", passes(plan));
  return {
    draw: chart.draw,
    element: h(
      "div",
      { class: "plan" },
      h("div", { class: "cards" }, cards(plan)),
      block("Memory over units", memoryLead(plan), chart.element),
      plan.outputs.length > 1
        ? [two(read, block("Shared work", ...shared(plan))), two(written, changed)]
        : [two(read, changed), written],
      block("Units that take most", null, dearest(plan)),
    ),
  };
}

const two = (...blocks) => h("div", { class: "two" }, blocks);

const block = (title, lead, ...content) => h("section", {}, h("h2", {}, title), lead ? h("p", { class: "lead" }, lead) : null, ...content);

function cards(plan) {
  const took = measuredTotals(plan);
  const often = plan.input_bytes ? plan.bytes_read / plan.input_bytes : 1;
  return [
    card("reads", size(plan.bytes_read), often === 1 ? "each byte once" : `each byte ${often.toFixed(2)} times`, took && size(took.read)),
    card("writes", size(plan.bytes_written), count(plan.outputs.length, "output")),
    card("peak memory", size(plan.planned_peak_bytes), `of ${size(plan.budget_bytes)} allowed`, took && size(took.memory)),
    card("least possible", size(plan.lower_bound_bytes), plan.optimal ? "the order of operations is optimal" : "proven bound, one worker"),
    card("units", plan.units.toLocaleString("en"), kinds(plan), took && `${took.seconds.toFixed(1)} s, added up`),
    card("workers", plan.workers, "units at a time"),
  ];
}

const card = (name, value, note, measured) =>
  h("div", { class: "card" }, h("small", {}, name), h("b", {}, `${value}`), h("span", {}, note), measured ? h("em", {}, `measured ${measured}`) : null);

function measuredTotals(plan) {
  const found = plan.steps.map((step) => step.measured).filter(Boolean);
  if (!found.length) return null;
  return {
    seconds: found.reduce((sum, [seconds]) => sum + seconds, 0),
    memory: Math.max(...found.map(([, memory]) => memory)),
    read: found.reduce((sum, [, , read]) => sum + read, 0),
  };
}

const kinds = (plan) =>
  [
    [plan.units_resident, "held whole"],
    [plan.units_streaming, "streamed"],
    [plan.units_copied, "copied"],
    [plan.surveys, "for statistics"],
  ]
    .filter(([number]) => number)
    .map(([number, what]) => `${number.toLocaleString("en")} ${what}`)
    .join(", ");

const memoryLead = (plan) =>
  `The whole process, as units follow each other on ${count(plan.workers, "worker")}: ${size(plan.baseline_bytes)} are the interpreter and its libraries. The peak is planned for the case that the dearest units meet.`;

const readLead = (plan) =>
  `${size(plan.input_bytes)} of the inputs are needed, and ${size(plan.bytes_read)} are read.`;

const bar = (part, whole, name) =>
  h("span", { class: "bar", role: "img", "aria-label": name }, grow(h("i"), whole ? part / whole : 0));

function grow(element, share) {
  element.style.inlineSize = `${Math.max(0.5, Math.min(100, 100 * share))}%`;
  return element;
}

function table(heads, rows) {
  const head = heads.map((name, i) => h("th", { scope: "col", class: rows[0]?.children[i].className }, name));
  const whole = h("table", {}, h("thead", {}, h("tr", {}, head)), h("tbody", {}, rows));
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": heads[0] }, whole);
}

function inputs(plan) {
  const most = Math.max(...plan.inputs.map((found) => found.nbytes));
  const often = plan.input_bytes ? plan.bytes_read / plan.input_bytes : 1;
  const times = often === 1 ? "" : `, ${often.toFixed(2)} times on average`;
  const rows = plan.inputs.map((found) =>
    h(
      "tr",
      {},
      h("td", {}, h("b", {}, found.name), h("small", {}, found.source)),
      h("td", { class: "wide" }, bar(found.used, most, `${size(found.used)} of ${size(found.nbytes)}`)),
      h("td", { class: "number" }, `${size(found.used)}${times}`, h("small", {}, `of ${size(found.nbytes)}`)),
    ),
  );
  return table(["input", "", "read"], rows);
}

function shared(plan) {
  const { bytes_alone: bytes, operations_alone: alone, operations } = plan.sharing;
  return [
    `${plan.outputs.length} outputs in one run share what they read and what they compute.`,
    compare("bytes read", plan.bytes_read, bytes, size),
    compare("operations on tensors", operations, alone, (number) => number.toLocaleString("en")),
  ];
}

const compare = (name, together, alone, spell) =>
  h(
    "div",
    { class: "compare" },
    h("h3", {}, name, h("b", {}, together < alone ? `${percent(alone - together, alone)} saved` : "nothing saved")),
    h("div", {}, h("span", {}, "together"), bar(together, alone, "together"), h("span", {}, spell(together))),
    h("div", { class: "alone" }, h("span", {}, "one by one"), bar(1, 1, "one by one"), h("span", {}, spell(alone))),
  );

function outputs(plan) {
  const rows = plan.outputs.map((found) =>
    h(
      "tr",
      {},
      h("td", {}, h("b", {}, found.path)),
      h("td", { class: "number" }, count(found.tensors, "tensor")),
      h("td", { class: "number" }, size(found.nbytes)),
      h("td", {}, Object.keys(found.dtypes).join(", ")),
      h("td", { class: "number" }, count(found.files, "file")),
    ),
  );
  return table(["output", "tensors", "bytes", "dtype", "files"], rows);
}

function passes(plan) {
  const most = Math.max(...plan.passes.flatMap((step) => [step.nodes_before, step.nodes_after]));
  const rows = plan.passes.map((step) =>
    h(
      "tr",
      {},
      h("td", {}, h("b", {}, step.name), h("small", {}, step.summary)),
      h("td", { class: "wide" }, bar(step.nodes_after, most, `${step.nodes_after} after`)),
      h("td", { class: "number" }, `${step.nodes_before.toLocaleString("en")} → ${step.nodes_after.toLocaleString("en")}`, h("small", {}, promise(step))),
    ),
  );
  return table(["pass", "", "operations"], rows);
}

const promise = (step) => (step.promise === "exact" ? "changes no bit" : "defines the merge");

function dearest(plan) {
  const found = [...plan.steps].sort((a, b) => b.dearest.peak_bytes - a.dearest.peak_bytes).slice(0, 8);
  const rows = found.map(({ dearest: unit, measured }) =>
    h(
      "tr",
      {},
      h("td", {}, h("b", {}, unit.name), unit.more ? h("small", {}, `and ${unit.more} more`) : null),
      h("td", {}, unit.how),
      h("td", { class: "wide" }, bar(unit.peak_bytes, plan.budget_bytes - plan.baseline_bytes, `${size(unit.peak_bytes)}`)),
      h("td", { class: "number" }, size(unit.peak_bytes), measured ? h("small", {}, `measured ${size(measured[1])} in all`) : null),
    ),
  );
  return table(["unit", "inputs", "", "memory"], rows);
}
