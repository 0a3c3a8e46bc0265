"""A mask that was kept."""

from __future__ import annotations

from mergegraph.dtypes import FLOAT32
from mergegraph.ir.types import TensorType
from mergegraph.ops.declaration import Locality, Mask, Stat, op, primitive


@op(locality=Locality.SCAN, primitive=True, internal=True, shape=lambda types, shape: TensorType(FLOAT32, shape))
def unpacked_mask(bits: Stat, *, shape: tuple[int, ...]) -> Mask:
    """Give back a mask that `packed_mask` kept."""
    return primitive()
