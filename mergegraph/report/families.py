"""Fold the tensors of an output: layers that are computed alike into one, and experts within them."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from mergegraph.checkpoint.layers import find_stacks, split_layer
from mergegraph.ir.graph import InputRef, OutputTensor, Total, const_value
from mergegraph.ir.node import Node, postorder

NUMBER = re.compile(r"(?<![0-9])(?:0|[1-9][0-9]{0,8})(?![0-9])")
"""A number of a name that may be the index of a layer: written without leading zeros."""

Shift: TypeAlias = tuple[int, int]
"""A number of an input's name: that of the output's name at an index, and what is added to it. Index −1 adds to 0."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A name with numbers left out: `texts` around them, and how each follows from the numbers of the output's name."""

    texts: tuple[str, ...]
    numbers: tuple[Shift, ...]


@dataclass(frozen=True, slots=True)
class Family:
    """Tensors that are computed alike; they differ in their numbers only. `name` is the part below the last stack.

    `reads` are the names of the tensors bound to the leaves; None is bound to what is no tensor.
    """

    name: str
    tensors: Sequence[OutputTensor]
    reads: tuple[tuple[int, Pattern] | None, ...]


@dataclass(frozen=True, slots=True)
class Fold:
    """Layers of the stack `prefix` with the same families. `indices` are in order; the items are those of a layer."""

    prefix: str
    indices: tuple[int, ...]
    items: tuple[Item, ...]


Item: TypeAlias = "Family | Fold"


@dataclass(frozen=True, slots=True)
class _Column:
    """One name within each of some layers that are alike: its tensor in every one of them."""

    name: str
    tensors: tuple[OutputTensor, ...]
    alike: Hashable


def fold(tensors: Iterable[OutputTensor]) -> tuple[Item, ...]:
    """Return the tensors of one output in the order of the model, layers and experts that are alike folded."""
    shapes = _Shapes()
    columns = [_Column(tensor.name, (tensor,), shapes.of(tensor)) for tensor in tensors]
    return tuple(_items(columns))


def families(items: Iterable[Item]) -> Iterator[Family]:
    """Yield all families of items, in order."""
    for item in items:
        if isinstance(item, Family):
            yield item
        else:
            yield from families(item.items)


def reads(tensor: OutputTensor) -> tuple[tuple[int, Pattern] | None, ...]:
    """Return what is bound to the leaves of a tensor, in terms of the numbers in its name."""
    own = [int(found) for found in NUMBER.findall(tensor.name)]
    patterns = {name: _pattern(name, own) for name in {b.name for b in tensor.bindings if isinstance(b, InputRef)}}
    return tuple((b.model, patterns[b.name]) if isinstance(b, InputRef) else None for b in tensor.bindings)


def _pattern(name: str, own: Sequence[int]) -> Pattern:
    found = [int(number) for number in NUMBER.findall(name)]
    shifts = [(i, number - own[i]) if i < len(own) else (-1, number) for i, number in enumerate(found)]
    return Pattern(tuple(NUMBER.split(name)), tuple(shifts))


def operands(root: Node) -> list[tuple[Node, int, Node]]:
    """Return the constants of an expression by their places: the operation, the index of its input, the constant."""
    nodes = (node for node in postorder([root]) if const_value(node) is None)
    return [(node, i, child) for node in nodes for i, child in enumerate(node.inputs) if const_value(child) is not None]


@dataclass(slots=True)
class _Shapes:
    """Tells expressions apart by everything but their constants."""

    known: dict[Hashable, int] = field(default_factory=dict)
    roots: dict[Node, int] = field(default_factory=dict)

    def of(self, tensor: OutputTensor) -> Hashable:
        """Return what tensors that are computed alike have in common."""
        totals = tuple(b.name for b in tensor.bindings if isinstance(b, Total))
        return self._of_root(tensor.root), reads(tensor), totals

    def _of_root(self, root: Node) -> int:
        if root not in self.roots:
            numbers = {node: i for i, node in enumerate(n for n in postorder([root]) if const_value(n) is None)}
            shape = tuple(
                (node.op, node.attributes, node.type, tuple(numbers.get(child, -1) for child in node.inputs))
                for node in numbers
            )
            self.roots[root] = self.known.setdefault(shape, len(self.known))
        return self.roots[root]


def _items(columns: Sequence[_Column]) -> Iterator[Item]:
    prefixes = {stack.prefix for stack in find_stacks(column.name for column in columns)}
    layers: dict[str, dict[int, list[_Column]]] = {}
    order: list[_Column | str] = []
    for column in columns:
        found = split_layer(column.name, prefixes)
        if found is None:
            order.append(column)
            continue
        if found.prefix not in layers:
            order.append(found.prefix)
        inner = _Column(found.suffix, column.tensors, column.alike)
        layers.setdefault(found.prefix, {}).setdefault(found.index, []).append(inner)
    for item in order:
        if isinstance(item, str):
            yield from _folds(item, layers[item])
        else:
            yield Family(item.name, item.tensors, reads(item.tensors[0]))


def _folds(prefix: str, layers: Mapping[int, Sequence[_Column]]) -> Iterator[Fold]:
    alike: dict[Hashable, list[int]] = {}
    for index in sorted(layers):
        alike.setdefault(frozenset((column.name, column.alike) for column in layers[index]), []).append(index)
    for indices in alike.values():
        members = [{column.name: column for column in layers[index]} for index in indices]
        columns = [
            _Column(column.name, _interleaved([member[column.name].tensors for member in members]), column.alike)
            for column in layers[indices[0]]
        ]
        yield Fold(prefix, tuple(indices), tuple(_items(columns)))


def _interleaved(tensors: Sequence[tuple[OutputTensor, ...]]) -> tuple[OutputTensor, ...]:
    """Return the tensors of outer layers one after the other, each with those of the inner layers in order."""
    return tuple(tensor for outer in zip(*tensors, strict=True) for tensor in outer)
