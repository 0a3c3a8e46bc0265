"""The Graph: one expression per output tensor, over inputs that are bound per tensor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeAlias

from mergegraph.dtypes import FLOAT64
from mergegraph.ir.node import Node, intern, postorder, rewrite
from mergegraph.ir.types import TensorType


class TensorRef(NamedTuple):
    """A tensor of an input: the index of its model and its name there.

    A named tuple is made, hashed and compared faster than a dataclass; no other binding equals one.
    """

    model: int
    name: str


@dataclass(frozen=True, slots=True)
class Key:
    """The 64-bit key of the random bits that one operation draws for one tensor."""

    value: int


@dataclass(frozen=True, slots=True)
class Number:
    """A number that differs from layer to layer: a value of a `ramp`."""

    value: float


@dataclass(frozen=True, slots=True)
class Total:
    """A statistic of a whole model, which is found before the tensors that need it are computed."""

    name: str


@dataclass(frozen=True, slots=True)
class RowsRef:
    """Rows of a tensor: those that part number `part` of a `table` names, one for each row of the output.

    Rows that the table leaves out are not read.
    """

    model: int
    name: str
    table: str
    part: int


@dataclass(frozen=True, slots=True)
class Table:
    """Which rows of which tensors make the rows of a vocabulary matrix: an int64 matrix, of a part for each tensor.

    Number `[part, row]` is a row of that tensor, -1 where it gives none. The name says what is in it.
    """

    name: str


InputRef: TypeAlias = TensorRef | RowsRef
"""What is read of a tensor."""

Binding: TypeAlias = InputRef | Key | Number | Total | Table


@dataclass(frozen=True, slots=True)
class OutputTensor:
    """A tensor to be written: `root` computes it from leaves such as `input(i)` and `key(i)`, bound by `bindings[i]`.

    Tensors with the same shapes and parameters have the same `root` object: it is their template.
    """

    save: int
    name: str
    root: Node
    bindings: tuple[Binding, ...]

    def rebound(self, root: Node, kept: tuple[int, ...]) -> OutputTensor:
        """Return the tensor computed by another expression, which uses these of its bindings."""
        bindings = self.bindings
        if len(kept) == len(bindings):
            return self if root is self.root else OutputTensor(self.save, self.name, root, bindings)
        return OutputTensor(self.save, self.name, root, tuple([bindings[i] for i in kept]))


@dataclass(frozen=True, slots=True)
class Graph:
    """All output tensors of all saves; `models` and `saves` name what the indices mean.

    `surveyed` are not written: all tensors of the values of which statistics of a whole model are needed, and, under
    names of their own, statistics of single tensors that are found before anything is written.
    """

    models: tuple[str, ...]
    saves: tuple[str, ...]
    tensors: tuple[OutputTensor, ...]
    surveyed: tuple[OutputTensor, ...] = ()

    def templates(self) -> dict[Node, list[OutputTensor]]:
        """Return the output tensors by their template, in order of first use."""
        found: dict[Node, list[OutputTensor]] = {}
        for tensor in self.tensors:
            found.setdefault(tensor.root, []).append(tensor)
        return found

    def nodes(self) -> list[Node]:
        """Return the distinct nodes of all templates, inputs first."""
        return list(postorder(self.templates()))


def input_leaf(index: int, type: TensorType) -> Node:
    """Return the leaf that stands for the tensor bound at `index`."""
    return intern("input", (), (("index", index),), type)


def matrix_leaf(index: int, type: TensorType) -> Node:
    """Return the leaf that stands for the tensor bound at `index`, all of which is in memory while a unit runs."""
    return intern("matrix", (), (("index", index),), type)


def key_leaf(index: int) -> Node:
    """Return the leaf that stands for the random key bound at `index`."""
    return intern("key", (), (("index", index),), TensorType(FLOAT64, ()))


def number_leaf(index: int) -> Node:
    """Return the leaf that stands for the number bound at `index`."""
    return intern("number", (), (("index", index),), TensorType(FLOAT64, ()))


def total_leaf(index: int, type: TensorType) -> Node:
    """Return the leaf that stands for the statistic of a whole model that is bound at `index`."""
    return intern("total", (), (("index", index),), type)


def table_leaf(index: int) -> Node:
    """Return the leaf that stands for the table bound at `index`."""
    return intern("table", (), (("index", index),), TensorType(FLOAT64, ()))


def const(value: float) -> Node:
    """Return the scalar constant `value`."""
    return intern("const", (), (("value", float(value)),), TensorType(FLOAT64, ()))


def is_leaf(node: Node) -> bool:
    """Tell whether a node is bound from outside: a tensor, a key, a number, a table, or a statistic of a model."""
    return node.op in ("input", "matrix", "key", "number", "table", "total")


def leaf_index(leaf: Node) -> int:
    """Return the index of the binding that a leaf stands for."""
    index = leaf.attribute("index")
    assert isinstance(index, int)
    return index


def const_value(node: Node) -> float | None:
    """Return the value of a constant, None of anything else."""
    if node.op != "const":
        return None
    value = node.attribute("value")
    assert isinstance(value, float)
    return value


Rebinding: TypeAlias = tuple[Node, tuple[int, ...]]
"""What stands for a template, and the indices of the bindings of its tensors that are still used."""


def rebound(graph: Graph, templates: Mapping[Node, Rebinding]) -> Graph:
    """Return the graph with every template replaced."""

    def each(tensors: tuple[OutputTensor, ...]) -> tuple[OutputTensor, ...]:
        return tuple([tensor.rebound(*templates[tensor.root]) for tensor in tensors])

    return replace(graph, tensors=each(graph.tensors), surveyed=each(graph.surveyed))


def one_of_each(graph: Graph) -> Graph:
    """Return the graph with only the first tensor of each template."""

    def each(tensors: tuple[OutputTensor, ...]) -> tuple[OutputTensor, ...]:
        found: dict[Node, OutputTensor] = {}
        for tensor in tensors:
            found.setdefault(tensor.root, tensor)
        return tuple(found.values())

    return replace(graph, tensors=each(graph.tensors), surveyed=each(graph.surveyed))


def with_constants(graph: Graph) -> Graph:
    """Return the graph with the numbers of each layer as constants: templates of their own for tensors that differ."""
    memo: dict[tuple[Node, tuple[tuple[int, Number], ...]], tuple[Node, tuple[int, ...]]] = {}

    def mapped(tensor: OutputTensor) -> OutputTensor:
        numbers = tuple((i, binding) for i, binding in enumerate(tensor.bindings) if isinstance(binding, Number))
        if not numbers:
            return tensor
        if (tensor.root, numbers) not in memo:
            values = {i: const(number.value) for i, number in numbers}
            root = rewrite(tensor.root, lambda n: values[leaf_index(n)] if n.op == "number" else n, {})
            memo[tensor.root, numbers] = compact(root)
        root, kept = memo[tensor.root, numbers]
        return tensor.rebound(root, kept)

    return replace(graph, tensors=tuple(map(mapped, graph.tensors)), surveyed=tuple(map(mapped, graph.surveyed)))


def compact(root: Node) -> tuple[Node, tuple[int, ...]]:
    """Return `root` with its leaves numbered 0, 1, … in order of their old index, and those old indices.

    Bindings that no leaf uses any more are dropped this way: what is not used is never read.
    """
    kept = tuple(sorted({leaf_index(node) for node in postorder([root]) if is_leaf(node)}))
    if kept == tuple(range(len(kept))):
        return root, kept
    return renumber(root, {old: new for new, old in enumerate(kept)}), kept


def renumber(root: Node, numbers: dict[int, int], memo: dict[Node, Node] | None = None) -> Node:
    """Return `root` with leaf `i` replaced by leaf `numbers[i]`."""

    def rule(node: Node) -> Node:
        if not is_leaf(node):
            return node
        return intern(node.op, (), (("index", numbers[leaf_index(node)]),), node.type)

    return rewrite(root, rule, {} if memo is None else memo)
