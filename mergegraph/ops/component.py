"""Picking one of several numbers."""

from __future__ import annotations

from mergegraph.dtypes import FLOAT64
from mergegraph.ir.types import TensorType
from mergegraph.ops.declaration import Locality, Stat, op, primitive


@op(
    locality=Locality.REDUCTION,
    primitive=True,
    internal=True,
    shape=lambda types, index: TensorType(FLOAT64, types[0].shape[1:]),
    scalar=lambda values, index: values[index],
)
def component(values: Stat, *, index: int) -> Stat:
    """Take one of several numbers, or one of several lists of numbers, that were computed together."""
    return primitive()
