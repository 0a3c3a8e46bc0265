"""Find where an operation on tensors comes from: the operation on models that it was lowered from."""

from __future__ import annotations

from collections.abc import Mapping

from mergegraph.ir.node import Node
from mergegraph.ir.types import Type

CHOOSES = ("select", "stack", "layers")
"""Operations on models that no operation on tensors stands for: one of their inputs is taken."""


READS = ("input", "gather_rows", "pad_rows")
"""Operations on tensors that stand for a model: a tensor as it is, or its rows for the vocabulary of the output."""


def origins(value: Node, root: Node) -> Mapping[Node, Node]:
    """Return, for the operations of an expression, the nodes of the Recipe they were lowered from, if `value` was."""
    matching = _Matching()
    matching.matches(value, root)
    return matching.found


class _Matching:
    """Walks a value and an expression side by side."""

    def __init__(self) -> None:
        self.found: dict[Node, Node] = {}
        self._known: dict[tuple[Node, Node], bool] = {}

    def matches(self, value: Node, node: Node) -> bool:
        key = value, node
        if key not in self._known:
            self._known[key] = self._match(value, node)
        return self._known[key]

    def _match(self, value: Node, node: Node) -> bool:
        if value.op in CHOOSES and value.type is not Type.FIELD:
            return any(self.matches(child, node) for child in value.inputs)
        if node.op == "cast" and value.op != "cast":
            return self.matches(value, node.inputs[0])
        if value.type in (Type.NUMBER, Type.FIELD):
            return node.op in ("const", "number")
        if value.op == "model":
            return node.op in READS
        if value.op == "lora":
            return True
        # Operations that draw random bits have one more input on tensors: the key.
        alike = value.op == node.op and len(value.inputs) <= len(node.inputs)
        if not alike or not all(map(self.matches, value.inputs, node.inputs)):
            return False
        self.found.setdefault(node, value)
        return True
