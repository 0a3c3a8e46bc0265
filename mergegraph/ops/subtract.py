"""Subtraction."""

from __future__ import annotations

import operator

from mergegraph.ops.declaration import Locality, Tensor, op, primitive
from mergegraph.ops.typing import difference_type


@op(locality=Locality.POINTWISE, primitive=True, scalar=operator.sub, typing=difference_type)
def subtract(x: Tensor, y: Tensor) -> Tensor:
    """Subtract: `x − y`. The difference of two models is a delta, a task vector."""
    return primitive()
