"""Rounding down."""

from __future__ import annotations

from mergegraph.ops.declaration import Locality, Scalar, op, primitive
from mergegraph.ops.typing import same_type


@op(locality=Locality.POINTWISE, primitive=True, typing=same_type, internal=True)
def floor(x: Scalar) -> Scalar:
    """Round a number down to a whole one."""
    return primitive()
