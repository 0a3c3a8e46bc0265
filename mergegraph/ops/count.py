"""Counting."""

from __future__ import annotations

from mergegraph.ops.declaration import Locality, Mask, Stat, op, primitive


@op(locality=Locality.REDUCTION, primitive=True)
def count(mask: Mask) -> Stat:
    """Count the elements that a mask marks."""
    return primitive()
