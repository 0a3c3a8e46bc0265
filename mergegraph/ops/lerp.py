"""Linear interpolation."""

from __future__ import annotations

from mergegraph.ops.add import add
from mergegraph.ops.declaration import Locality, Point, Tensor, op
from mergegraph.ops.multiply import multiply
from mergegraph.ops.subtract import subtract


@op(locality=Locality.POINTWISE)
def lerp(a: Point, b: Point, t: Tensor) -> Point:
    """Interpolate linearly: `(1 − t)·a + t·b`, which is `a + t·(b − a)`, exact at t = 0 and t = 1."""
    return add(multiply(a, subtract(1.0, t)), multiply(b, t))
