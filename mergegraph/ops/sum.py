"""Sum."""

from __future__ import annotations

from mergegraph.ops.declaration import Locality, Point, Stat, op, primitive


@op(locality=Locality.REDUCTION, primitive=True)
def sum_(x: Point) -> Stat:
    """Add up all elements, in float64, over blocks of fixed size in index order."""
    return primitive()
