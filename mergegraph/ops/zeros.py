"""The delta that changes nothing."""

from __future__ import annotations

from mergegraph.dtypes import FLOAT32
from mergegraph.ir.graph import const
from mergegraph.ir.node import Node
from mergegraph.ir.types import TensorType
from mergegraph.ops.declaration import Delta, Locality, op, primitive


@op(locality=Locality.POINTWISE, primitive=True, internal=True, shape=lambda types, shape: TensorType(FLOAT32, shape))
def zeros(*, shape: tuple[int, ...]) -> Delta:
    """Stand for a delta that is not part of the merge: scaled by 0, or kept with density 0."""
    return primitive()


def zeros_like(x: Node) -> Node:
    """Return zeros of the shape of `x`, or the constant 0 if `x` is a scalar."""
    return zeros(shape=x.tensor.shape) if x.tensor.shape != () else const(0.0)
