"""Scaling."""

from __future__ import annotations

from mergegraph.ops.declaration import Locality, Point, Scalar, op
from mergegraph.ops.multiply import multiply


@op(locality=Locality.POINTWISE)
def scale(x: Point, by: Scalar) -> Point:
    """Multiply every weight by a number: `by · x`."""
    return multiply(x, by)
