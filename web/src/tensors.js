// The tensors of a stage: a tree of outputs, folded layers and families, addressed by ids such as `o0/2/1`.

/** Return all items of a stage by id; each knows its parent, the stacks around it, what it reads and how much it is. */
export function indexed(stage, saves) {
  const items = new Map();
  for (const output of stage.outputs) {
    const id = `o${output.save}`;
    const item = { id, save: output.save, type: "output", title: saves[output.save], parent: null, stacks: [] };
    items.set(id, item);
    item.children = output.items.map((child, i) => add(items, child, `${id}/${i}`, item));
    total(item);
  }
  return items;
}

function add(items, data, id, parent) {
  const folded = data.items !== undefined;
  const item = { id, parent, save: parent.save, type: folded ? "fold" : "family", data, stacks: parent.stacks };
  items.set(id, item);
  if (folded) {
    item.title = data.prefix;
    item.stacks = [...parent.stacks, data];
    item.children = data.items.map((child, i) => add(items, child, `${id}/${i}`, item));
    total(item);
  } else {
    item.title = data.name;
    item.children = [];
    item.models = new Set(data.reads.filter(Boolean).map((read) => read[0]));
    item.tensors = item.stacks.reduce((product, stack) => product * stack.indices.length, 1);
    item.bytes = item.tensors * data.bytes;
  }
  return item;
}

function total(item) {
  item.models = new Set(item.children.flatMap((child) => [...child.models]));
  item.tensors = item.children.reduce((sum, child) => sum + child.tensors, 0);
  item.bytes = item.children.reduce((sum, child) => sum + child.bytes, 0);
}

/** Return the indices of a family's member in the stacks around it. */
export function places(family, member) {
  const found = [];
  for (const stack of [...family.stacks].reverse()) {
    found.unshift(member % stack.indices.length);
    member = Math.floor(member / stack.indices.length);
  }
  return found;
}

export const member = (family, found) =>
  family.stacks.reduce((sum, stack, i) => sum * stack.indices.length + found[i], 0);

/** Return the name of a member of a family, or with `*` for every layer where there is none. */
export function nameOf(family, number) {
  const found = number === undefined ? null : places(family, number);
  const parts = family.stacks.map((stack, i) => {
    const index = found ? stack.indices[found[i]] : stack.indices.length === 1 ? stack.indices[0] : "*";
    return `${stack.prefix ? `${stack.prefix}.` : ""}${index}.`;
  });
  return parts.join("") + family.data.name;
}

const NUMBER = /(?<![0-9])(?:0|[1-9][0-9]{0,8})(?![0-9])/g;

/** Return the name of a tensor that a member of a family reads. */
export function readName([, texts, shifts], family, number) {
  const own = nameOf(family, number ?? 0).match(NUMBER) ?? [];
  const first = number === undefined ? nameOf(family) : null;
  const starred = first === null ? [] : starredNumbers(family);
  const numbers = shifts.map(([from, shift]) => {
    if (from < 0) return shift;
    if (!starred[from]) return Number(own[from]) + shift;
    return shift === 0 ? "*" : `(*${shift > 0 ? "+" : "−"}${Math.abs(shift)})`;
  });
  return texts.map((text, i) => text + (i < numbers.length ? numbers[i] : "")).join("");
}

/** Tell which numbers of the names of a family differ from member to member. */
function starredNumbers(family) {
  return family.stacks.flatMap((stack) => [
    ...(stack.prefix.match(NUMBER) ?? []).map(() => false),
    stack.indices.length > 1,
  ]);
}

/** Return the value that a parameter, given in runs of equal values, has for a member. */
export function valueAt(values, number) {
  for (const [value, run] of values) {
    if (number < run) return value;
    number -= run;
  }
  return undefined;
}

/** Yield every tensor whose name contains all words of a query; `*` in a word stands for anything. */
export function* matching(items, query) {
  const tests = query.toLowerCase().split(/\s+/).filter(Boolean).map(wordTest);
  for (const item of items.values()) {
    if (item.type !== "family") continue;
    for (let number = 0; number < item.tensors; number++) {
      const name = nameOf(item, number);
      const text = name.toLowerCase();
      if (tests.every((test) => test(text))) yield { item, number, name };
    }
  }
}

export function wordTest(word) {
  if (!word.includes("*")) return (text) => text.includes(word);
  const pattern = word.split("*").map((part) => part.replace(/[\\^$.|?+()[\]{}]/g, "\\$&"));
  const test = new RegExp(pattern.join(".*"), "s");
  return (text) => test.test(text);
}
