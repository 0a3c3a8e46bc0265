"""Addition."""

from __future__ import annotations

import operator

from mergegraph.ops.declaration import Locality, Tensor, op, primitive
from mergegraph.ops.typing import sum_type


@op(locality=Locality.POINTWISE, primitive=True, scalar=operator.add, typing=sum_type)
def add(x: Tensor, y: Tensor) -> Tensor:
    """Add: `x + y`. A model plus a delta is a model."""
    return primitive()
