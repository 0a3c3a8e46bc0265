"""Inner product."""

from __future__ import annotations

from mergegraph.ops.declaration import Locality, Point, Stat, op, primitive


@op(locality=Locality.REDUCTION, primitive=True)
def dot(x: Point, y: Point) -> Stat:
    """Add up the products of elements: `⟨x, y⟩`, in float64, over blocks of fixed size in index order."""
    return primitive()
