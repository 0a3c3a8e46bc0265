"""First half of the search for the k-th magnitude."""

from __future__ import annotations

from mergegraph.dtypes import DTYPES
from mergegraph.ir.types import TensorType
from mergegraph.ops.declaration import Delta, Locality, Stat, op, primitive

BUCKETS = 1 << 15


@op(
    locality=Locality.REDUCTION,
    primitive=True,
    internal=True,
    shape=lambda types: TensorType(DTYPES["int64"], (BUCKETS,)),
)
def magnitude_histogram(x: Delta) -> Stat:
    """Count elements by the upper 15 bits of the bit pattern of `|x|`, which sorts as the magnitude does."""
    return primitive()
