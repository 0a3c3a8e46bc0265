"""Keeping the largest."""

from __future__ import annotations

from mergegraph.dtypes import FLOAT32
from mergegraph.ir.types import TensorType
from mergegraph.ops.declaration import Delta, Locality, Stat, op, primitive


@op(locality=Locality.SCAN, primitive=True, internal=True, shape=lambda types: TensorType(FLOAT32, types[0].shape))
def threshold(x: Delta, limit: Stat) -> Delta:
    """Keep exactly the k elements of largest magnitude, ties by lowest index; zero the rest."""
    return primitive()
