"""Which model each adapter of a recipe belongs to: the one that it is added to, unless it names another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from mergegraph.ir.node import Node, postorder
from mergegraph.ir.types import Type

SOURCES = ("model", "lora")
"""The operations that stand for files."""


def anchors(values: Iterable[Node]) -> Mapping[Node, tuple[Node, ...]]:
    """Return the models that each adapter may belong to: one, if it is plain which."""
    found: dict[Node, dict[Node, None]] = {}
    for node in postorder(values):
        if node.op == "lora":
            found.setdefault(node, dict.fromkeys(node.inputs))
        elif node.op in ("add", "subtract") and {child.type for child in node.inputs} == {Type.MODEL, Type.DELTA}:
            model, delta = sorted(node.inputs, key=lambda child: child.type is Type.DELTA)
            for adapter in adapters(delta):
                if not adapter.inputs:
                    found.setdefault(adapter, {})[_unchanged(model)] = None
    return {adapter: tuple(models) for adapter, models in found.items()}


def adapters(delta: Node) -> Iterator[Node]:
    """Yield the adapters that a delta is made of, not those that models in it are made with."""
    stack, seen = [delta], {delta}
    while stack:
        node = stack.pop()
        if node.op == "lora":
            yield node
        elif node.type is not Type.MODEL:
            stack += [child for child in node.inputs if child not in seen]
            seen.update(node.inputs)


def _unchanged(model: Node) -> Node:
    """Return a model without the deltas that were added to it: `base + a + b` adds both to the base."""
    while model.op in ("add", "subtract") and {child.type for child in model.inputs} == {Type.MODEL, Type.DELTA}:
        model = next(child for child in model.inputs if child.type is Type.MODEL)
    return model
