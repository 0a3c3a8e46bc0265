"""A guess at the k-th magnitude."""

from __future__ import annotations

from mergegraph.dtypes import DTYPES
from mergegraph.ir.types import TensorType
from mergegraph.ops.declaration import Delta, Locality, Stat, op, primitive
from mergegraph.ops.magnitude_histogram import BUCKETS


@op(
    locality=Locality.REDUCTION,
    primitive=True,
    internal=True,
    shape=lambda types: TensorType(DTYPES["int64"], (BUCKETS,)),
)
def magnitude_sample(x: Delta) -> Stat:
    """Count as `magnitude_histogram` does, but of a large tensor only a part: enough to guess a quantile."""
    return primitive()
