"""Magnitude."""

from __future__ import annotations

from mergegraph.ops.declaration import Locality, Tensor, op, primitive
from mergegraph.ops.typing import same_type


@op(locality=Locality.POINTWISE, primitive=True, scalar=abs, typing=same_type)
def abs_(x: Tensor) -> Tensor:
    """Take the magnitude: `|x|`."""
    return primitive()
