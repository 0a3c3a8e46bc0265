"""Limits."""

from __future__ import annotations

from mergegraph.ops.declaration import Locality, Scalar, Tensor, op, primitive
from mergegraph.ops.scalars import clamped
from mergegraph.ops.typing import same_type


@op(locality=Locality.POINTWISE, primitive=True, scalar=clamped, typing=same_type)
def clamp(x: Tensor, low: Scalar, high: Scalar) -> Tensor:
    """Limit to a range: `min(max(x, low), high)`."""
    return primitive()
