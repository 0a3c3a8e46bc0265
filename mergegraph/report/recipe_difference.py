"""Tell what two recipes make differently: their optimized graphs compared, tensor by tensor."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import unified_diff
from functools import cached_property
from os.path import realpath
from typing import TypeAlias

from mergegraph.checkpoint.checkpoint import Checkpoint
from mergegraph.compiler import Compilation
from mergegraph.diagnostics import escape, listed
from mergegraph.ir.graph import Binding, OutputTensor, RowsRef, TensorRef, leaf_index, renumber
from mergegraph.ir.node import Node, rewrite, with_inputs
from mergegraph.ir.print import binding_text, expression_lines
from mergegraph.recipe.recipe import Save
from mergegraph.report.spelling import counted
from mergegraph.sizes import format_size
from mergegraph.vocabulary.templates import read_template

Origin: TypeAlias = tuple[str, ...]
"""What tells one model from another, wherever the recipe lies: its folder or files, and its commit."""

Bound: TypeAlias = tuple[str, ...]
"""What a leaf stands for: a model's origin and the name of the tensor, or the text of another binding."""

KEY = "key:"
"""How the text of a key begins."""

COMMUTATIVE = frozenset(("add", "multiply"))
"""Operations whose result has the same bits in either order of the operands."""


def recipe_difference(one: Compilation, other: Compilation) -> str:
    """Return what differs between the outputs of two recipes, those of the same place or the same path compared.

    Names and layout of the text, and ways to write the same merge, are no difference. MergeGraphError if either can't
    be compiled.
    """
    left, right = _Side(one), _Side(other)
    lines: list[str] = []
    matched = list(_matched(left.saves, right.saves))
    for here, there in matched:
        if here is None or there is None:
            save, side = (left.saves[here], left) if here is not None else (right.saves[there or 0], right)
            lines.append(f"only {escape(side.name)} writes `{escape(save.path)}`")
        else:
            lines += _saved(left, here, right, there)
    if one.recipe.seed != other.recipe.seed:
        lines.append(f"the seed is {one.recipe.seed} in one, {other.recipe.seed} in the other")
    return "\n".join(lines or [f"both recipes make the same {counted(len(matched), 'output')}"])


@dataclass(frozen=True)
class _Side:
    compilation: Compilation

    @property
    def name(self) -> str:
        return self.compilation.source.name

    @property
    def saves(self) -> tuple[Save, ...]:
        return self.compilation.recipe.saves

    @cached_property
    def origins(self) -> list[Origin]:
        return [self.origin(model) for model in self.compilation.recipe.models]

    def sources(self) -> Iterator[tuple[Origin, str]]:
        """Yield how each model is written in this recipe."""
        return ((self.origin(m), self.compilation.checkpoints[m].source) for m in self.compilation.recipe.models)

    def origin(self, model: Node) -> Origin:
        return _origin(self.compilation.checkpoints[model])

    def tokens(self, save: int) -> Mapping[str, int]:
        """Return the tokens of an output with their numbers; nothing where they are not known."""
        joined = self.compilation.alignments.saves[save].joined
        return joined.ids if joined is not None else {}

    def template(self, save: int) -> object:
        """Return the chat template of an output."""
        chosen = self.compilation.alignments.saves[save].template
        tokenizer = self.compilation.checkpoints[self.saves[save].tokenizer]
        return (chosen if chosen is not None else read_template(tokenizer)).main

    def tensors(self, save: int) -> dict[str, OutputTensor]:
        return {tensor.name: tensor for tensor in self.compilation.optimized.tensors if tensor.save == save}

    @cached_property
    def lowered(self) -> dict[tuple[int, str], OutputTensor]:
        """The tensors with methods that are not taken apart yet: what people read."""
        return {(tensor.save, tensor.name): tensor for tensor in self.compilation.graph.tensors}

    def normal(self, tensor: OutputTensor) -> tuple[Node, tuple[Bound, ...]]:
        """Return the expression of a tensor and what its leaves are, in an order that no way of writing changes."""
        bound = [self._bound(binding) for binding in tensor.bindings]
        order = sorted(range(len(bound)), key=lambda i: bound[i])
        root = renumber(tensor.root, {old: new for new, old in enumerate(order)})
        return rewrite(root, _sorted_operands, {}), tuple(bound[i] for i in order)

    def _bound(self, binding: Binding) -> Bound:
        if isinstance(binding, TensorRef):
            return (*self.origins[binding.model], binding.name)
        if isinstance(binding, RowsRef):
            return (*self.origins[binding.model], f"{binding.name} rows:{binding.table}.{binding.part}")
        return (binding_text(binding, ()),)


def _sorted_operands(node: Node) -> Node:
    if node.op not in COMMUTATIVE:
        return node
    return with_inputs(node, tuple(sorted(node.inputs, key=lambda child: "\n".join(expression_lines(child)))))


def _lines(side: _Side, tensor: OutputTensor, labels: Mapping[Origin, str], *, keys: bool) -> tuple[str, ...]:
    """Return an expression as text, its inputs by their models, and by their names where these are others.

    Keys of random bits, of which each tensor has its own, are without their digits unless `keys`.
    """
    root, bound = side.normal(tensor)

    def leaf(node: Node) -> str:
        *origin, name = bound[leaf_index(node)]
        if not origin:
            return "key" if name.startswith(KEY) and not keys else escape(name)
        label = labels[tuple(origin)]
        return escape(label if name == tensor.name else f"{label} {name}")

    return tuple(expression_lines(root, leaf))


def _shown(
    left: _Side, one: OutputTensor, right: _Side, other: OutputTensor, labels: Mapping[Origin, str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return both expressions as they were written; after all passes where that does not tell them apart."""
    before = left.lowered[one.save, one.name], right.lowered[other.save, other.name]
    for ours, theirs in (before, (one, other)):
        shown = _lines(left, ours, labels, keys=False), _lines(right, theirs, labels, keys=False)
        if shown[0] != shown[1]:
            return shown
    return _lines(left, one, labels, keys=True), _lines(right, other, labels, keys=True)


def _origin(checkpoint: Checkpoint) -> Origin:
    paths = [checkpoint.root] if checkpoint.root else [file.path for file in checkpoint.files]
    return (*(realpath(path) for path in paths), checkpoint.commit or "")


def _matched(left: Sequence[Save], right: Sequence[Save]) -> Iterator[tuple[int | None, int | None]]:
    """Yield the outputs that belong together: by path, or the only ones of both."""
    if len(left) == len(right) == 1:
        yield 0, 0
        return
    places = {save.path: i for i, save in enumerate(right)}
    for i, save in enumerate(left):
        yield i, places.pop(save.path, None)
    yield from ((None, i) for i in places.values())


def _saved(left: _Side, here: int, right: _Side, there: int) -> Iterator[str]:
    title = f"output `{escape(left.saves[here].path)}`"
    found = [*_options(left, here, right, there)]
    found += _tensors(left, left.tensors(here), right, right.tensors(there))
    if found:
        yield title
        yield from (f"  {line}" if line else "" for line in found)


def _options(left: _Side, here: int, right: _Side, there: int) -> Iterator[str]:
    one, other = left.saves[here], right.saves[there]
    for name, ours, theirs in (("config", one.config, other.config), ("tokenizer", one.tokenizer, other.tokenizer)):
        if left.origin(ours) != right.origin(theirs):
            names = (escape(side.compilation.checkpoints[m].source) for side, m in ((left, ours), (right, theirs)))
            yield f"{name}: {' → '.join(names)}"
    if changed := sorted({token for token, _ in left.tokens(here).items() ^ right.tokens(there).items()}):
        yield f"tokens that only one has, or at another number: {listed(changed)}"
    if left.template(here) != right.template(there):
        yield "the chat template is another"
    if one.shard_size != other.shard_size:
        yield f"shard_size: {format_size(one.shard_size)} → {format_size(other.shard_size)}"


def _tensors(
    left: _Side, ours: Mapping[str, OutputTensor], right: _Side, theirs: Mapping[str, OutputTensor]
) -> Iterator[str]:
    for side, extra in ((left, [n for n in ours if n not in theirs]), (right, [n for n in theirs if n not in ours])):
        if extra:
            yield f"only {escape(side.name)} has {counted(len(extra), 'tensor')}: {listed(extra)}"
    labels = {origin: source for side in (right, left) for origin, source in side.sources()}
    groups: dict[tuple[tuple[str, ...], tuple[str, ...]], list[str]] = defaultdict(list)
    same = 0
    for name in [name for name in ours if name in theirs]:
        if left.normal(ours[name]) == right.normal(theirs[name]):
            same += 1
        else:
            groups[_shown(left, ours[name], right, theirs[name], labels)].append(name)
    for (one, other), names in groups.items():
        yield f"{counted(len(names), 'tensor')} made differently: {listed(names)}"
        shown = unified_diff(one, other, n=len(one) + len(other), lineterm="")
        yield from (f"  {line}" for line in [*shown][3:])
    if groups and same:
        yield f"{counted(same, 'tensor')} made alike"
