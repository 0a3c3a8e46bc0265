"""Check a graph between passes: a pass takes valid expressions and leaves valid expressions."""

from __future__ import annotations

from mergegraph.ir.graph import Graph, Key, Number, Table, const_value, is_leaf, leaf_index
from mergegraph.ir.node import Node, postorder
from mergegraph.ops import OPS

_KINDS = {"key": Key, "number": Number, "table": Table}
"""What leaves stand for that are neither tensors nor statistics of them."""


class InvalidGraph(Exception):
    """Say which pass left what that is not valid. It is a defect of MergeGraph, never of a recipe."""


def verify(graph: Graph, step: str) -> None:
    """Raise InvalidGraph unless every node has the type its operation gives it and every leaf is bound."""
    for root, tensors in graph.templates().items():
        leaves = [node for node in postorder([root]) if is_leaf(node)]
        for tensor in tensors:
            if len(tensor.bindings) != len(leaves):
                raise InvalidGraph(
                    f"after {step}: {tensor.name} has {len(tensor.bindings)} bindings, {len(leaves)} leaves"
                )
        bindings = tensors[0].bindings
        for leaf in leaves:
            bound = bindings[leaf_index(leaf)]
            if any(isinstance(bound, kind) != (leaf.op == op) for op, kind in _KINDS.items()):
                raise InvalidGraph(
                    f"after {step}: leaf {leaf_index(leaf)} of {tensors[0].name} is bound to another kind"
                )
    for node in graph.nodes():
        if not valid(node):
            raise InvalidGraph(f"after {step}: {node.op} has type {node.type}, not that of its operation")


def valid(node: Node) -> bool:
    """Tell whether a node's type is the one that its operation gives it."""
    if is_leaf(node) or const_value(node) is not None:
        return True
    return OPS[node.op].apply(node.inputs, node.attributes) is node
