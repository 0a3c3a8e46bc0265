"""Inner products of rows."""

from __future__ import annotations

from mergegraph.ops.declaration import Locality, Point, Stat, op, primitive
from mergegraph.ops.vectors import one_per_row


@op(locality=Locality.ROWWISE, primitive=True, internal=True, shape=one_per_row)
def row_dot(x: Point, y: Point) -> Stat:
    """Add up the products of elements in each row, the vectors along the last axis, in float64."""
    return primitive()
