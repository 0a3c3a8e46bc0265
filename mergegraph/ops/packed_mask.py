"""A mask in one bit per element."""

from __future__ import annotations

from mergegraph.dtypes import DTYPES
from mergegraph.ir.types import TensorType
from mergegraph.ops.declaration import Locality, Mask, Stat, op, primitive


@op(
    locality=Locality.REDUCTION,
    primitive=True,
    internal=True,
    shape=lambda types, size: TensorType(DTYPES["uint8"], (-(-size // 8),)),
)
def packed_mask(mask: Mask, *, size: int) -> Stat:
    """Keep a mask of `size` elements, each 0 or 1, for a later pass: where it costs more to make it again."""
    return primitive()
