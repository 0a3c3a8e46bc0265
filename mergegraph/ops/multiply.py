"""Multiplication."""

from __future__ import annotations

import operator

from mergegraph.ops.declaration import Locality, Tensor, op, primitive
from mergegraph.ops.typing import product_type


@op(locality=Locality.POINTWISE, primitive=True, scalar=operator.mul, typing=product_type)
def multiply(x: Tensor, y: Tensor) -> Tensor:
    """Multiply element by element, or by a number: `x · y`."""
    return primitive()
