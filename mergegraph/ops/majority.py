"""Majority sign."""

from __future__ import annotations

from mergegraph.ops.declaration import Delta, Locality, op, primitive


@op(locality=Locality.POINTWISE, primitive=True, scalar=lambda x: 1.0 if x >= 0 else -1.0)
def majority(x: Delta) -> Delta:
    """Turn weighted votes into signs: `+1` where `x ≥ 0`, `−1` elsewhere."""
    return primitive()
