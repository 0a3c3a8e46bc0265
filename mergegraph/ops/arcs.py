"""Spherical interpolation of tensors, or of their vectors one by one: shared by the operations that do it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from mergegraph.ir.node import Node
from mergegraph.ops.add import add
from mergegraph.ops.arc_weights import arc_weights
from mergegraph.ops.column_dot import column_dot
from mergegraph.ops.component import component
from mergegraph.ops.dot import dot
from mergegraph.ops.multiply import multiply
from mergegraph.ops.row_dot import row_dot
from mergegraph.ops.spread_columns import spread_columns
from mergegraph.ops.spread_rows import spread_rows
from mergegraph.ops.vectors import Axis, column_count, row_count


def on_arc(a: Node, b: Node, t: Node | float, axis: Axis | None, parallel: float) -> Node:
    """Return the point `t` of the way from `a` to `b` on their great circle, or of each pair of vectors on theirs."""
    product, spread = each_vector(a, axis)
    weights = arc_weights(product(a, a), product(a, b), product(b, b), t, parallel=parallel)
    first, second = spread(component(weights, index=0)), spread(component(weights, index=1))
    return add(multiply(a, first), multiply(b, second))


def each_vector(x: Node, axis: Axis | None) -> tuple[Callable[[Node, Node], Node], Callable[[Node], Node]]:
    """Return how vectors are multiplied, and how a number for each of them is given to all its elements."""
    if axis is None or _one_vector(x, axis):
        return dot, _as_it_is
    shape = x.tensor.shape
    if axis == "rows":
        return partial(row_dot, rows=row_count(x.tensor)), partial(spread_rows, length=shape[-1], shape=shape)
    return partial(column_dot, columns=column_count(x.tensor)), partial(spread_columns, shape=shape)


def _as_it_is(x: Node) -> Node:
    return x


def _one_vector(x: Node, axis: Axis) -> bool:
    """Tell whether the whole tensor is one vector."""
    return x.tensor.count <= x.tensor.shape[-1 if axis == "rows" else 0]
