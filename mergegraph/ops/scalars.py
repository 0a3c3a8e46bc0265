"""Arithmetic on plain numbers: float64 by the rules of IEEE 754, NaN and infinity instead of exceptions."""

from __future__ import annotations

import math
from collections.abc import Callable

from mergegraph.ir.graph import const, const_value
from mergegraph.ir.node import Node
from mergegraph.ops.declaration import OPS


def fold(node: Node) -> Node:
    """Return an operation on constants as its result, any other node as it is."""
    op = OPS.get(node.op)
    values = [const_value(child) for child in node.inputs]
    if op is None or op.scalar is None or not values or any(value is None for value in values):
        return node
    return const(op.scalar(*values, **dict(node.attributes)))


def quotient(x: float, y: float) -> float:
    """Return `x / y`."""
    if y:
        return x / y
    return math.nan if x == 0 or math.isnan(x) else math.copysign(math.inf, x) * math.copysign(1.0, y)


def signum(x: float) -> float:
    """Return −1, 0 or 1; 0 of NaN, as for tensors."""
    return float((x > 0) - (x < 0))


def smaller(x: float, y: float) -> float:
    """Return the smaller, or NaN if either is."""
    return math.nan if math.isnan(x) or math.isnan(y) else min(x, y)


def larger(x: float, y: float) -> float:
    """Return the larger, or NaN if either is."""
    return math.nan if math.isnan(x) or math.isnan(y) else max(x, y)


def clamped(x: float, low: float, high: float) -> float:
    """Return the nearest number from `low` to `high`."""
    return smaller(larger(x, low), high)


def rounded_down(x: float) -> float:
    """Return the largest whole number that is not larger."""
    return float(math.floor(x)) if math.isfinite(x) else x


def total(function: Callable[[float], float]) -> Callable[[float], float]:
    """Return a function of one number with NaN where the mathematical one is undefined."""

    def everywhere(x: float) -> float:
        try:
            return function(x)
        except ValueError:
            return math.nan

    return everywhere
