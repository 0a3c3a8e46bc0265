"""Second half of the search for the k-th magnitude."""

from __future__ import annotations

from mergegraph.dtypes import DTYPES
from mergegraph.ir.types import TensorType
from mergegraph.ops.declaration import Delta, Locality, Scalar, Stat, op, primitive

BUCKETS = 1 << 16


@op(
    locality=Locality.REDUCTION,
    primitive=True,
    internal=True,
    shape=lambda types: TensorType(DTYPES["int64"], (BUCKETS,)),
)
def bucket_histogram(x: Delta, histogram: Stat, k: Scalar) -> Stat:
    """Count the elements in the bucket of the k-th largest magnitude by the lower 16 bits of their pattern."""
    return primitive()
