"""Drop operations that provably change no bit of any number in their input."""

from __future__ import annotations

from mergegraph.dtypes import Dtype
from mergegraph.ir.node import Node
from mergegraph.optimize.rules import Matches, Rule, Variable, apply_first, pattern

x = Variable("x")


def _same_dtype(node: Node, found: Matches) -> bool:
    return node.tensor.dtype is found[x].tensor.dtype


def _round_trip(node: Node, found: Matches) -> bool:
    return _same_dtype(node, found) and _holds(node.inputs[0].tensor.dtype, node.tensor.dtype)


def _holds(wide: Dtype, narrow: Dtype) -> bool:
    """Tell whether every value of `narrow` is a value of `wide`."""
    return wide is narrow or wide.bits > narrow.bits


RULES: tuple[Rule, ...] = (
    pattern("multiply", x, 1.0) >> x,
    pattern("multiply", 1.0, x) >> x,
    pattern("divide", x, 1.0) >> x,
    pattern("cast", x)[_same_dtype] >> x,
    pattern("cast", pattern("cast", x))[_round_trip] >> x,
)
# Absent on purpose: x + 0 turns -0.0 into 0.0; x − x hides NaN. A NaN may lose its payload either way: it is no number.


def drop_identities(node: Node) -> Node:
    """Return a node without the operations on top of it that change nothing."""
    return apply_first(RULES, node)
