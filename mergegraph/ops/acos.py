"""Arc cosine."""

from __future__ import annotations

import math

from mergegraph.ops.declaration import Locality, Scalar, op, primitive
from mergegraph.ops.scalars import total
from mergegraph.ops.typing import same_type


@op(locality=Locality.POINTWISE, primitive=True, scalar=total(math.acos), typing=same_type, internal=True)
def acos(x: Scalar) -> Scalar:
    """Take the angle in radians, from 0 to π, whose cosine is `x`."""
    return primitive()
