"""ℓ₁ norm."""

from __future__ import annotations

from mergegraph.ops.declaration import Locality, Point, Stat, op, primitive


@op(locality=Locality.REDUCTION, primitive=True)
def absolute_sum(x: Point) -> Stat:
    """Add up the magnitudes: `‖x‖₁`, in float64, over blocks of fixed size in index order."""
    return primitive()
