"""Rounding down."""

from __future__ import annotations

from mergegraph.ops.declaration import Locality, Scalar, op, primitive
from mergegraph.ops.scalars import rounded_down
from mergegraph.ops.typing import same_type


@op(locality=Locality.POINTWISE, primitive=True, scalar=rounded_down, typing=same_type, internal=True)
def floor(x: Scalar) -> Scalar:
    """Round a number down to a whole one."""
    return primitive()
