"""Cut a graph into stages: statistics of whole models come before the tensors that need them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from mergegraph.ir.graph import Graph, OutputTensor, Total, compact, total_leaf
from mergegraph.ir.node import Node, postorder, rewrite
from mergegraph.plan.program import is_tile


@dataclass(frozen=True, slots=True)
class _Part:
    """What is left of an expression when each statistic of a whole model is a leaf, bound after those there were.

    `kept` are the bindings that are still used, `totals` the names of the statistics.
    """

    root: Node
    kept: tuple[int, ...]
    totals: tuple[str, ...]

    def of(self, tensor: OutputTensor, name: str) -> OutputTensor:
        """Return this part of a tensor under another name."""
        if self.root is tensor.root and name == tensor.name and len(self.kept) == len(tensor.bindings):
            return tensor
        bindings = (*tensor.bindings, *map(Total, self.totals))
        return OutputTensor(tensor.save, name, self.root, tuple(bindings[i] for i in self.kept))


@dataclass(frozen=True, slots=True)
class _Share:
    """What the tensors of one template add to a statistic that depends on `level` others."""

    name: str
    level: int
    part: _Part
    tensors: Sequence[OutputTensor]


def stages(graph: Graph) -> list[Graph]:
    """Return graphs to be run one after the other. The last one writes; the others only find statistics.

    A tensor of those is named after the statistic that it is a share of. What no output needs is left out.
    """
    main = {root: _part(root, tensors[0]) for root, tensors in graph.templates().items()}
    shares = list(_shares(graph))
    asked = {tensor.name for tensor in graph.surveyed if not is_tile(tensor.root)}
    wanted = _closure({name for part in main.values() for name in part.totals} | asked, shares)
    found: list[list[OutputTensor]] = [
        [] for _ in range(1 + max((s.level for s in shares if s.name in wanted), default=-1))
    ]
    for share in shares:
        if share.name in wanted:
            found[share.level].extend(share.part.of(tensor, share.name) for tensor in share.tensors)
    last = tuple(main[tensor.root].of(tensor, tensor.name) for tensor in graph.tensors)
    return [replace(graph, tensors=tuple(tensors), surveyed=()) for tensors in (*found, last)]


def _shares(graph: Graph) -> Iterator[_Share]:
    for root, tensors in replace(graph, tensors=graph.surveyed).templates().items():
        levels: dict[Node, int] = {}
        for node in postorder([root]):
            levels[node] = max((levels[child] + (child.op == "over_model") for child in node.inputs), default=0)
            if node.op == "over_model":
                yield _Share(_name(node), levels[node], _part(node.inputs[0], tensors[0]), tensors)
        if not is_tile(root):
            part = _part(root, tensors[0])
            yield from (_Share(tensor.name, levels[root], part, [tensor]) for tensor in tensors)


def _part(root: Node, tensor: OutputTensor) -> _Part:
    totals: dict[str, int] = {}

    def rule(node: Node) -> Node:
        if node.op != "over_model":
            return node
        return total_leaf(len(tensor.bindings) + totals.setdefault(_name(node), len(totals)), node.tensor)

    cut, kept = compact(rewrite(root, rule, {}))
    return _Part(cut, kept, tuple(totals))


def _closure(names: set[str], shares: Sequence[_Share]) -> set[str]:
    """Return the names of statistics, and of those that they depend on."""
    while more := {total for share in shares if share.name in names for total in share.part.totals} - names:
        names = names | more
    return names


def _name(node: Node) -> str:
    return f"{node.attribute('group')}: {node.attribute('part')}"
