"""Random numbers."""

from __future__ import annotations

from mergegraph.dtypes import FLOAT32
from mergegraph.ir.types import TensorType
from mergegraph.ops.declaration import Key, Locality, Mask, op, primitive


@op(locality=Locality.SCAN, primitive=True, internal=True, shape=lambda types, shape: TensorType(FLOAT32, shape))
def uniform(key: Key, *, shape: tuple[int, ...]) -> Mask:
    """Draw a multiple of 2⁻²⁴ from 0 to 1, without 1, for each element, by a hash of the key and its index."""
    return primitive()
