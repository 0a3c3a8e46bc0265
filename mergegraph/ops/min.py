"""The smaller of two."""

from __future__ import annotations

from mergegraph.ops.declaration import Locality, Tensor, op, primitive
from mergegraph.ops.scalars import smaller
from mergegraph.ops.typing import same_type


@op(locality=Locality.POINTWISE, primitive=True, scalar=smaller, typing=same_type)
def min_(x: Tensor, y: Tensor) -> Tensor:
    """Take the smaller, element by element; NaN if either is NaN."""
    return primitive()
