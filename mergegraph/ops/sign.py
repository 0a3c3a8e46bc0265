"""Sign."""

from __future__ import annotations

from mergegraph.ops.declaration import Locality, Tensor, op, primitive
from mergegraph.ops.scalars import signum
from mergegraph.ops.typing import same_type


@op(locality=Locality.POINTWISE, primitive=True, scalar=signum, typing=same_type)
def sign(x: Tensor) -> Tensor:
    """Take the sign: −1, 0 or 1; 0 of either zero."""
    return primitive()
