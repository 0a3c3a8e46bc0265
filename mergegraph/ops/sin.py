"""Sine."""

from __future__ import annotations

import math

from mergegraph.ops.declaration import Locality, Scalar, op, primitive
from mergegraph.ops.scalars import total
from mergegraph.ops.typing import same_type


@op(locality=Locality.POINTWISE, primitive=True, scalar=total(math.sin), typing=same_type, internal=True)
def sin(x: Scalar) -> Scalar:
    """Take the sine of an angle in radians."""
    return primitive()
