"""ℓ₁ norm."""

from __future__ import annotations

from mergegraph.ops.abs import abs_
from mergegraph.ops.declaration import Locality, Point, Stat, op
from mergegraph.ops.sum import sum_


@op(locality=Locality.REDUCTION)
def absolute_sum(x: Point) -> Stat:
    """Add up the magnitudes: `‖x‖₁`, in float64, over blocks of fixed size in index order."""
    return sum_(abs_(x))
