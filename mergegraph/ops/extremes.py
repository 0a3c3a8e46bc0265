"""Extremes."""

from __future__ import annotations

from mergegraph.ops.declaration import Locality, Point, Stat, op, primitive


@op(locality=Locality.REDUCTION, primitive=True, internal=True)
def smallest(x: Point) -> Stat:
    """Return the smallest element, infinity where there is none; NaN if one of them is."""
    return primitive()


@op(locality=Locality.REDUCTION, primitive=True, internal=True)
def largest(x: Point) -> Stat:
    """Return the largest element, minus infinity where there is none; NaN if one of them is."""
    return primitive()
