"""The larger of two."""

from __future__ import annotations

from mergegraph.ops.declaration import Locality, Tensor, op, primitive
from mergegraph.ops.scalars import larger
from mergegraph.ops.typing import same_type


@op(locality=Locality.POINTWISE, primitive=True, scalar=larger, typing=same_type)
def max_(x: Tensor, y: Tensor) -> Tensor:
    """Take the larger, element by element; NaN if either is NaN."""
    return primitive()
