"""Tell what became of each operation of a graph in the passes, and which one each optimized operation is from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from mergegraph.ir.graph import const_value, is_leaf
from mergegraph.ir.node import Node, postorder
from mergegraph.optimize.pipeline import Pass

Kind: TypeAlias = Literal["kept", "dropped", "folded", "rewritten", "merged"]


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of an operation, and in which pass; `into` are the operations that stand for it now.

    `dropped` means that one of its inputs is its result, `folded` that a constant is, `merged` that other operations
    already compute it.
    """

    kind: Kind
    step: str
    into: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Fates:
    """The fates of the operations of some expressions, and for each operation after the passes the one it is from."""

    fates: Mapping[Node, Fate]
    owners: Mapping[Node, Node]


def trace(roots: Iterable[Node], steps: Sequence[Pass]) -> Fates:
    """Return what the passes make of the operations of these expressions, from the inputs to the results."""
    fates: dict[Node, Fate] = {}
    owners: dict[Node, Node] = {}
    after = _After(steps)
    for node in filter(_counts, postorder(roots)):
        images = after.images(node)
        into = tuple(n for n in postorder([images[-1]]) if _counts(n) and n not in owners)
        owners.update(dict.fromkeys(into, node))
        fates[node] = _fate(node, images, into, after)
    return Fates(fates, owners)


class _After:
    """What each pass makes of expressions, remembered."""

    def __init__(self, steps: Sequence[Pass]) -> None:
        self.steps = steps
        self._known: dict[Node, tuple[Node, ...]] = {}

    def images(self, node: Node) -> tuple[Node, ...]:
        """Return an expression after each of the passes."""
        if node not in self._known:
            self._known[node] = tuple(self._images(node))
        return self._known[node]

    def _images(self, node: Node) -> Iterator[Node]:
        for step in self.steps:
            node = step.run(node)
            yield node


def _counts(node: Node) -> bool:
    return not is_leaf(node) and const_value(node) is None


def _fate(node: Node, images: Sequence[Node], into: tuple[Node, ...], after: _After) -> Fate:
    for i, (step, image) in enumerate(zip(after.steps, images, strict=True)):
        if const_value(image) is not None:
            return Fate("folded", step.name, ())
        if any(image is after.images(child)[i] for child in node.inputs):
            return Fate("dropped", step.name, ())
    if [n.op for n in into] == [node.op]:
        return Fate("kept", "", into)
    if not into:
        return Fate("merged", "", ())
    return Fate("rewritten", _rewriter(node, images, after.steps), into)


def _rewriter(node: Node, images: Sequence[Node], steps: Sequence[Pass]) -> str:
    """Return the first pass after which another operation gives the result."""
    changed = (step.name for step, image in zip(steps, images, strict=True) if image.op != node.op)
    return next(changed, steps[-1].name)
