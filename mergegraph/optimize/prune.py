"""Leave out what is not part of the merge: inputs of weight 0, deltas of density 0, interpolation at an end.

This is what the methods mean, not an optimization: it always runs, so that such inputs are never read and a NaN in
them has no influence. `zeros` stands for a delta that changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from mergegraph.ir.graph import const_value
from mergegraph.ir.node import Node
from mergegraph.ops import OPS
from mergegraph.ops.negate import negate
from mergegraph.ops.zeros import zeros_like


def prune(node: Node) -> Node:
    """Return a node whose inputs are pruned, pruned."""
    rule = _RULES.get(node.op)
    return rule(node) if rule else node


def _product(node: Node) -> Node:
    x, y = node.inputs
    if _absent(x) or _absent(y):
        return zeros_like(node)
    return node


def _sum(node: Node) -> Node:
    x, y = node.inputs
    if _zeros(y):
        return x
    return y if _zeros(x) else node


def _difference(node: Node) -> Node:
    x, y = node.inputs
    if _zeros(y):
        return x
    return negate(y) if _zeros(x) else node


def _sparsified(node: Node) -> Node:
    d, density = node.inputs[0], const_value(node.inputs[1])
    if _zeros(d) or (density is not None and density <= 0.0):
        return zeros_like(d)
    return d if density is not None and density >= 1.0 else node


def _first(node: Node) -> Node:
    return node.inputs[0] if _zeros(node.inputs[0]) else node


def _group(node: Node) -> Node:
    """Drop the members of weight 0 from a weighted group."""
    count = len(node.inputs) // 2
    members = list(zip(node.inputs[:count], node.inputs[count:], strict=True))
    kept = [(x, w) for x, w in members if const_value(w) != 0.0]
    if not kept:
        return zeros_like(node)
    if len(kept) == count:
        return node
    return OPS[node.op].apply([*(x for x, _ in kept), *(w for _, w in kept)], node.attributes)


def _pair(node: Node) -> Node:
    """Drop the member of weight 0 from a weighted pair; two of weight 0 count alike."""
    return node if all(const_value(w) == 0.0 for w in node.inputs[2:]) else _group(node)


def _path(node: Node) -> Node:
    a, b, t = node.inputs
    end = {0.0: a, 1.0: b}.get(const_value(t) or 0.0) if const_value(t) is not None else None
    return end or node


def _absent(node: Node) -> bool:
    return _zeros(node) or const_value(node) == 0.0


def _zeros(node: Node) -> bool:
    return node.op == "zeros"


_RULES: Mapping[str, Callable[[Node], Node]] = MappingProxyType(
    {
        "multiply": _product,
        "scale": _product,
        "add": _sum,
        "subtract": _difference,
        "negate": _first,
        "abs": _first,
        "sign": _first,
        "divide": _first,
        "low_rank": _first,
        "trim": _sparsified,
        "band": _sparsified,
        "drop": _sparsified,
        "drop_ranked": _sparsified,
        "mean": _group,
        "elect": _group,
        "spherical_mean": _group,
        "weighted_slerp": _pair,
        "lerp": _path,
        "slerp": _path,
    }
)
