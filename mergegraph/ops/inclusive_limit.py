"""All that equal the k-th magnitude."""

from __future__ import annotations

from dataclasses import replace

from mergegraph.dtypes import FLOAT64
from mergegraph.ir.types import TensorType
from mergegraph.ops.declaration import Locality, Stat, op, primitive


@op(
    locality=Locality.REDUCTION,
    primitive=True,
    internal=True,
    shape=lambda types: TensorType(FLOAT64, ()),
    scalar=lambda limit: replace(limit, ties=limit.equal),
)
def inclusive_limit(limit: Stat) -> Stat:
    """Return a limit that all elements of its magnitude are within: one threshold for several tensors."""
    return primitive()
