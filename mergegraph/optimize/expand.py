"""Replace every operation by its definition, until only those are left that a kernel computes."""

from __future__ import annotations

from mergegraph.ir.graph import const_value, is_leaf
from mergegraph.ir.node import Node, rewrite
from mergegraph.ops import OPS

DEEPEST = 20
"""How many definitions may stand inside each other."""


def expand(root: Node) -> Node:
    """Return the expression in primitive operations. RuntimeError if definitions never end in them."""
    memo: dict[Node, Node] = {}

    def rule(node: Node, depth: int = 0) -> Node:
        if is_leaf(node) or const_value(node) is not None or OPS[node.op].primitive:
            return node
        if depth == DEEPEST:
            raise RuntimeError(f"the definition of {node.op} does not end in primitive operations")
        return rewrite(OPS[node.op].expand(node), lambda inner: rule(inner, depth + 1), memo)

    return rewrite(root, rule, memo)
