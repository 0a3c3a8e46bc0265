"""A tensor that is held whole."""

from __future__ import annotations

from mergegraph.dtypes import FLOAT32
from mergegraph.ir.types import TensorType
from mergegraph.ops.declaration import Delta, Locality, Stat, op, primitive


@op(locality=Locality.SCAN, primitive=True, internal=True, shape=lambda types, shape: TensorType(FLOAT32, shape))
def held(values: Stat, *, shape: tuple[int, ...]) -> Delta:
    """Give back, tile by tile, a tensor that an operation on whole tensors has left."""
    return primitive()
