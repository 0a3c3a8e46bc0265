"""Comparison: `x = y`."""

from __future__ import annotations

from mergegraph.ops.declaration import Locality, Mask, Tensor, op, primitive
from mergegraph.ops.typing import comparison_type


@op(locality=Locality.POINTWISE, primitive=True, scalar=lambda x, y: float(x == y), typing=comparison_type)
def equal(x: Tensor, y: Tensor) -> Mask:
    """Mark with 1 the elements where `x` equals `y`, with 0 the others."""
    return primitive()
