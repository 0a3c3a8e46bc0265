"""Whether tensors differ."""

from __future__ import annotations

from mergegraph.ops.declaration import Locality, Point, Stat, op, primitive


@op(locality=Locality.REDUCTION, primitive=True, internal=True)
def differing(x: Point, y: Point, *, dtype: str) -> Stat:
    """Count the elements that differ when they are rounded to a type; NaN where a difference is not finite."""
    return primitive()
