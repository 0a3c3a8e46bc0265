"""One of two recipes that are compared: its outputs, in a form that no way of writing changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from os.path import realpath
from typing import TypeAlias

from mergegraph.checkpoint.checkpoint import Checkpoint
from mergegraph.compiler import Compilation
from mergegraph.diagnostics import escape
from mergegraph.ir.graph import (
    Binding,
    Graph,
    Key,
    Number,
    OutputTensor,
    RowsRef,
    TensorRef,
    leaf_index,
    renumber,
    with_constants,
)
from mergegraph.ir.node import Node, rewrite, with_inputs
from mergegraph.ir.print import binding_text, expression_lines
from mergegraph.optimize.pipeline import optimize
from mergegraph.recipe.recipe import Save
from mergegraph.vocabulary.templates import read_template

Origin: TypeAlias = tuple[str, ...]
"""What tells one model from another, wherever the recipe lies: its folder or files, and its commit."""

Bound: TypeAlias = tuple[str, ...]
"""What a leaf stands for: a model's origin and the name of the tensor, or the text of another binding."""

COMMUTATIVE = frozenset(("add", "multiply"))
"""Operations whose result has the same bits in either order of the operands."""

SLOT = "\0{}\0"
"""What stands in a line for one of a tensor's numbers."""


@dataclass(frozen=True, slots=True)
class Shown:
    """An expression as text, with slots for the numbers that a tensor has for its layer."""

    lines: tuple[str, ...]
    numbers: tuple[float, ...]


@dataclass(frozen=True)
class Side:
    """A compilation, and what comparing needs of it."""

    compilation: Compilation
    _normal: dict[tuple[Node, tuple[int, ...]], Node] = field(default_factory=dict)
    _lines: dict[tuple[Node, tuple[str, ...], bool], tuple[str, ...]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name of the recipe."""
        return self.compilation.source.name

    @property
    def saves(self) -> tuple[Save, ...]:
        """The outputs."""
        return self.compilation.recipe.saves

    @cached_property
    def origins(self) -> list[Origin]:
        """The origins of the models, by number."""
        return [self.origin(model) for model in self.compilation.recipe.models]

    def sources(self) -> Iterator[tuple[Origin, str]]:
        """Yield how each model is written in this recipe."""
        return ((self.origin(m), self.compilation.checkpoints[m].source) for m in self.compilation.recipe.models)

    def origin(self, model: Node) -> Origin:
        """Return what tells a model from others."""
        return _origin(self.compilation.checkpoints[model])

    def prefixes(self) -> set[str]:
        """Return the prefixes of all stacks of layers."""
        return {stack.prefix for checkpoint in self.compilation.checkpoints.values() for stack in checkpoint.stacks}

    def tokens(self, save: int) -> Mapping[str, int]:
        """Return the tokens of an output with their numbers; nothing where they are not known."""
        joined = self.compilation.alignments.saves[save].joined
        return joined.ids if joined is not None else {}

    def template(self, save: int) -> object:
        """Return the chat template of an output."""
        chosen = self.compilation.alignments.saves[save].template
        tokenizer = self.compilation.checkpoints[self.compilation.alignments.saves[save].tokenizer]
        return (chosen if chosen is not None else read_template(tokenizer)).main

    def tensors(self, save: int) -> dict[str, OutputTensor]:
        """Return the tensors of an output after all passes, a number that depends on the layer as any other."""
        return {tensor.name: tensor for tensor in self._optimized.tensors if tensor.save == save}

    @cached_property
    def _optimized(self) -> Graph:
        return optimize(with_constants(self.compilation.graph))[0]

    @cached_property
    def _lowered(self) -> dict[tuple[int, str], OutputTensor]:
        """The tensors with methods that are not taken apart yet: what people read."""
        return {(tensor.save, tensor.name): tensor for tensor in self.compilation.graph.tensors}

    def normal(self, tensor: OutputTensor) -> tuple[Node, tuple[Bound, ...]]:
        """Return the expression of a tensor and what its leaves are, in an order that no way of writing changes."""
        bound = [self._bound(binding) for binding in tensor.bindings]
        order = tuple(sorted(range(len(bound)), key=lambda i: bound[i]))
        key = tensor.root, order
        if key not in self._normal:
            root = renumber(tensor.root, {old: new for new, old in enumerate(order)})
            self._normal[key] = rewrite(root, _sorted_operands, {})
        return self._normal[key], tuple(bound[i] for i in order)

    def views(self, tensor: OutputTensor, labels: Mapping[Origin, str]) -> Iterator[Shown]:
        """Yield texts of a tensor's expression, the one that says least first: as written, with types, as computed.

        Inputs are written by their models, and by their names where these are others.
        """
        written = self._lowered[tensor.save, tensor.name]
        yield self._shown(written, labels, types=False, keys=False)
        yield self._shown(written, labels, types=True, keys=False)
        yield self._shown(tensor, labels, types=True, keys=False)
        yield self._shown(tensor, labels, types=True, keys=True)

    def _shown(self, tensor: OutputTensor, labels: Mapping[Origin, str], *, types: bool, keys: bool) -> Shown:
        numbers: dict[int, float] = {i: b.value for i, b in enumerate(tensor.bindings) if isinstance(b, Number)}
        slots = {i: SLOT.format(place) for place, i in enumerate(numbers)}
        texts = tuple(
            slots.get(i) or self._text(binding, tensor.name, labels, keys) for i, binding in enumerate(tensor.bindings)
        )
        key = tensor.root, texts, types
        if key not in self._lines:
            lines = expression_lines(tensor.root, lambda leaf: texts[leaf_index(leaf)])
            self._lines[key] = tuple(lines if types else (line.rpartition(" : ")[0] or line for line in lines))
        return Shown(self._lines[key], tuple(numbers.values()))

    def _text(self, binding: Binding, name: str, labels: Mapping[Origin, str], keys: bool) -> str:
        if isinstance(binding, Key):
            return binding_text(binding, ()) if keys else "key"
        *origin, bound = self._bound(binding)
        label = labels[tuple(origin)] if origin else ""
        return escape(label if origin and bound == name else f"{label} {bound}".strip())

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


def _origin(checkpoint: Checkpoint) -> Origin:
    paths = [checkpoint.root] if checkpoint.root else [file.path for file in checkpoint.files]
    return (*(realpath(path) for path in paths), checkpoint.commit or "")
