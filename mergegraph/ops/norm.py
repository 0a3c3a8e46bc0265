"""Euclidean norm."""

from __future__ import annotations

from mergegraph.ops.declaration import Locality, Point, Stat, op
from mergegraph.ops.dot import dot
from mergegraph.ops.sqrt import sqrt


@op(locality=Locality.REDUCTION)
def norm(x: Point) -> Stat:
    """Take the Euclidean norm of the flattened tensor: `‖x‖ = √⟨x, x⟩`."""
    return sqrt(dot(x, x))
