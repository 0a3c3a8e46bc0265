"""Square root."""

from __future__ import annotations

import math

from mergegraph.ops.declaration import Locality, Scalar, op, primitive
from mergegraph.ops.scalars import total
from mergegraph.ops.typing import same_type


@op(locality=Locality.POINTWISE, primitive=True, scalar=total(math.sqrt), typing=same_type, internal=True)
def sqrt(x: Scalar) -> Scalar:
    """Take the square root of a number."""
    return primitive()
