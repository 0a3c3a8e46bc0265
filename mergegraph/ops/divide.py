"""Division."""

from __future__ import annotations

from mergegraph.ops.declaration import Locality, Tensor, op, primitive
from mergegraph.ops.scalars import quotient
from mergegraph.ops.typing import quotient_type


@op(locality=Locality.POINTWISE, primitive=True, scalar=quotient, typing=quotient_type)
def divide(x: Tensor, y: Tensor) -> Tensor:
    """Divide: `x / y`, with IEEE results where `y` is zero."""
    return primitive()
