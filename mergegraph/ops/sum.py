"""Sum."""

from __future__ import annotations

from mergegraph.ops.declaration import Locality, Point, Stat, op, primitive, scalar_shape


@op(locality=Locality.REDUCTION, primitive=True, shape=scalar_shape)
def sum_(x: Point) -> Stat:
    """Add up all elements, in float64, over blocks of fixed size in index order."""
    return primitive()
