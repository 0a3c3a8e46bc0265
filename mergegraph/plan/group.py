"""Group output tensors that read the same inputs into one unit, so that they are read once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mergegraph.ir.graph import (
    Binding,
    Graph,
    InputRef,
    Key,
    Number,
    OutputTensor,
    RowsRef,
    Table,
    TensorRef,
    Total,
    leaf_index,
    renumber,
)
from mergegraph.ir.node import Node, postorder
from mergegraph.plan.plan import Target
from mergegraph.plan.program import is_tile

READ = (TensorRef, RowsRef)
"""The bindings that stand for what is read."""

MOST_INPUTS = 32
"""The most input tensors that one unit reads side by side."""


@dataclass(frozen=True, slots=True)
class Group:
    """Expressions over common bindings, and the tensors they are written to.

    `inputs` are read in tiles, `matrices` are held whole. `totals` are the statistics of whole models that they need,
    `tables` say which rows of inputs they read, `shares` are the statistics that they add to instead of writing. Of the
    targets those come last, `written` in number, that are statistics.
    """

    roots: tuple[Node, ...]
    inputs: tuple[InputRef, ...]
    matrices: tuple[InputRef, ...]
    keys: tuple[int, ...]
    numbers: tuple[float, ...]
    totals: tuple[str, ...]
    tables: tuple[str, ...]
    targets: tuple[Target, ...]
    shares: tuple[str, ...]
    written: int


@dataclass(frozen=True, slots=True)
class CopyOf:
    """A tensor that is written as it was read; several sources must be equal."""

    sources: tuple[TensorRef, ...]
    target: Target


def group(graph: Graph) -> tuple[list[Group], list[CopyOf]]:
    """Return the units of work of a graph: groups that compute, and copies.

    Tensors of equal shape, or statistics of such, that share an input come together, unless that would read
    more than MOST_INPUTS side by side. The expressions of groups with the same pattern are the same objects.
    """
    copies = [copy for copy in map(_copy, graph.tensors) if copy]
    computed = [tensor for tensor in graph.tensors if not _copy(tensor)]
    grouping = _Grouping()
    return [grouping.group(members) for members in _components(computed)], copies


def _copy(tensor: OutputTensor) -> CopyOf | None:
    root = tensor.root
    if root.op not in ("input", "identical"):
        return None
    return CopyOf(tuple(b for b in tensor.bindings if isinstance(b, TensorRef)), Target(tensor.save, tensor.name))


def _components(tensors: Sequence[OutputTensor]) -> list[list[OutputTensor]]:
    joined = list(range(len(tensors)))
    reads: dict[int, set[Binding]] = {i: _reads(tensor) for i, tensor in enumerate(tensors)}
    first: dict[tuple[tuple[int, ...], Binding], int] = {}
    for i, tensor in enumerate(tensors):
        shape = _shape(tensor.root)
        for binding in tensor.bindings:
            other = first.setdefault((shape, binding), i)
            if other != i and isinstance(binding, READ):
                _join(joined, reads, i, other)
    found: dict[int, list[OutputTensor]] = defaultdict(list)
    for i, tensor in enumerate(tensors):
        found[_root(joined, i)].append(tensor)
    return list(found.values())


def _shape(root: Node) -> tuple[int, ...]:
    """Return the shape of the tiles that a root is computed from, or is itself."""
    tiles = () if is_tile(root) else (node for node in postorder([root]) if is_tile(node))
    return next((node.tensor.shape for node in tiles), root.tensor.shape)


def _root(joined: list[int], one: int) -> int:
    """Return what stands for all that one is joined with: `joined` leads there, step by step."""
    while joined[one] != one:
        joined[one] = joined[joined[one]]
        one = joined[one]
    return one


def _join(joined: list[int], reads: dict[int, set[Binding]], one: int, other: int) -> None:
    a, b = _root(joined, one), _root(joined, other)
    if a == b or len(reads[a] | reads[b]) > MOST_INPUTS:
        return
    together = reads[a] | reads[b]
    joined[b] = a
    reads[a] = together


def _reads(tensor: OutputTensor) -> set[Binding]:
    return {binding for binding in tensor.bindings if isinstance(binding, READ)}


class _Grouping:
    """Makes groups; remembers patterns, so that equal ones get the same expression objects."""

    def __init__(self) -> None:
        self._roots: dict[tuple[tuple[Node, tuple[int, ...]], ...], tuple[Node, ...]] = {}
        self._held: dict[Node, frozenset[int]] = {}

    def group(self, found: Sequence[OutputTensor]) -> Group:
        members = sorted(found, key=lambda member: (member.save < 0, not is_tile(member.root)))
        tensors: dict[InputRef, None] = {}
        matrices: dict[InputRef, None] = {}
        others: dict[type[Binding], dict[Binding, None]] = {Key: {}, Number: {}, Total: {}, Table: {}}
        for member in members:
            whole = self._matrices(member.root)
            for i, binding in enumerate(member.bindings):
                if isinstance(binding, READ):
                    (matrices if i in whole else tensors)[binding] = None
                else:
                    others[type(binding)][binding] = None
        bindings: list[Binding] = [*tensors, *(b for found in others.values() for b in found)]
        numbers: dict[Binding, int] = {b: i for i, b in enumerate(bindings)}
        held: dict[Binding, int] = {ref: i for i, ref in enumerate(matrices, len(bindings))}
        pattern = tuple([(m.root, self._places(m, numbers, held)) for m in members])
        if pattern not in self._roots:
            self._roots[pattern] = tuple(renumber(root, dict(enumerate(places))) for root, places in pattern)
        written = [m for m in members if m.save >= 0]
        return Group(
            self._roots[pattern],
            tuple(tensors),
            tuple(matrices),
            tuple([key.value for key in others[Key] if isinstance(key, Key)]),
            tuple([number.value for number in others[Number] if isinstance(number, Number)]),
            tuple([total.name for total in others[Total] if isinstance(total, Total)]),
            tuple([table.name for table in others[Table] if isinstance(table, Table)]),
            tuple(Target(m.save, m.name) for m in written),
            tuple(m.name for m in members if m.save < 0),
            sum(not is_tile(m.root) for m in written),
        )

    def _places(
        self, tensor: OutputTensor, numbers: Mapping[Binding, int], held: Mapping[Binding, int]
    ) -> tuple[int, ...]:
        """Return the index within the group of each binding of a tensor."""
        whole = self._matrices(tensor.root)
        if not whole:
            return tuple([numbers[b] for b in tensor.bindings])
        return tuple([(held if i in whole else numbers)[b] for i, b in enumerate(tensor.bindings)])

    def _matrices(self, root: Node) -> frozenset[int]:
        """Return which bindings of a template are held whole."""
        if root not in self._held:
            self._held[root] = frozenset(leaf_index(node) for node in postorder([root]) if node.op == "matrix")
        return self._held[root]
