"""Arithmetic on plain numbers: what the pointwise operations mean for scalars, in float64, without exceptions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

from mergegraph.ir.graph import const, const_value
from mergegraph.ir.node import Node


def _divide(x: float, y: float) -> float:
    if y:
        return x / y
    return math.nan if x == 0 or math.isnan(x) else math.copysign(math.inf, x) * math.copysign(1.0, y)


def _total(function: Callable[[float], float]) -> Callable[[float], float]:
    """Return the function with NaN where the mathematical one is undefined."""

    def total(x: float) -> float:
        try:
            return function(x)
        except ValueError:
            return math.nan

    return total


def _sign(x: float) -> float:
    return math.nan if math.isnan(x) else float((x > 0) - (x < 0))


def _smaller(x: float, y: float) -> float:
    return math.nan if math.isnan(x) or math.isnan(y) else min(x, y)


def _larger(x: float, y: float) -> float:
    return math.nan if math.isnan(x) or math.isnan(y) else max(x, y)


def _floor(x: float) -> float:
    return float(math.floor(x)) if math.isfinite(x) else x


SCALARS: Mapping[str, Callable[..., float]] = MappingProxyType(
    {
        "add": lambda x, y: x + y,
        "subtract": lambda x, y: x - y,
        "multiply": lambda x, y: x * y,
        "divide": _divide,
        "negate": lambda x: -x,
        "abs": abs,
        "sign": _sign,
        "min": _smaller,
        "max": _larger,
        "clamp": lambda x, low, high: _smaller(_larger(x, low), high),
        "where": lambda mask, x, y: x if mask else y,
        "majority": lambda x: 1.0 if x >= 0 else -1.0,
        "sqrt": _total(math.sqrt),
        "floor": _floor,
        "sin": _total(math.sin),
        "acos": _total(math.acos),
        "less": lambda x, y: float(x < y),
        "less_equal": lambda x, y: float(x <= y),
        "greater": lambda x, y: float(x > y),
        "greater_equal": lambda x, y: float(x >= y),
        "equal": lambda x, y: float(x == y),
        "not_equal": lambda x, y: float(x != y),
    }
)
"""The scalar form of each operation that has one."""


def fold(node: Node) -> Node:
    """Return an operation on constants as its result, any other node as it is."""
    function = SCALARS.get(node.op)
    values = [const_value(child) for child in node.inputs]
    if function is None or not values or any(value is None for value in values):
        return node
    return const(function(*values))
