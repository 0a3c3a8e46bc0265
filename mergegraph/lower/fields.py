"""Evaluate Fields: numbers that depend on a tensor's name and layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from mergegraph.checkpoint.layers import split_layer
from mergegraph.ir.graph import const, const_value
from mergegraph.ir.node import Node
from mergegraph.lower.names import Namer, Names
from mergegraph.ops import OPS
from mergegraph.ops.scalars import fold
from mergegraph.recipe.recipe import numbers_attribute

Outside: TypeAlias = Callable[[Node], None]
"""Is told of a `ramp` without a value for a tensor that is in no layer."""


def field_value(node: Node, name: str, names: Names, namer: Namer, outside: Outside = lambda _: None) -> float:
    """Return the value of a number or Field for the tensor `name` of a value with these `names`.

    In place of the value that a `ramp` does not have, which `outside` is told of, stands its first.
    """
    if node.op == "number":
        value = node.attribute("value")
        assert isinstance(value, float)
        return value
    if node.op == "select":
        return field_value(namer.case(node, name), name, names, namer, outside)
    if node.op == "ramp":
        return _ramp_value(node, name, names, outside)
    inputs = [const(field_value(child, name, names, namer, outside)) for child in node.inputs]
    value = const_value(fold(OPS[node.op].apply(inputs, node.attributes)))
    assert value is not None
    return value


def _ramp_value(ramp: Node, name: str, names: Names, told: Outside) -> float:
    layer = split_layer(name, names.prefixes)
    if layer is None:
        outside = ramp.attribute("outside")
        if outside is None:
            told(ramp)
            return numbers_attribute(ramp, "values")[0]
        assert isinstance(outside, float)
        return outside
    count = next(stack.count for stack in names.stacks if stack.prefix == layer.prefix)
    position = layer.index / (count - 1) if count > 1 else 1.0
    return interpolate(numbers_attribute(ramp, "values"), position)


def interpolate(values: tuple[float, ...], position: float) -> float:
    """Return the value at `position` (0 first, 1 last) on the straight lines between evenly spaced values."""
    if len(values) == 1:
        return values[0]
    scaled = position * (len(values) - 1)
    low = min(int(scaled), len(values) - 2)
    part = scaled - low
    return values[low] * (1.0 - part) + values[low + 1] * part
