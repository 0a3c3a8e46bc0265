"""A number for every row."""

from __future__ import annotations

from mergegraph.dtypes import FLOAT32
from mergegraph.ir.types import TensorType
from mergegraph.ops.declaration import Locality, Mask, Stat, op, primitive


@op(
    locality=Locality.SCAN,
    primitive=True,
    internal=True,
    shape=lambda types, length, shape: TensorType(FLOAT32, shape),
)
def spread_rows(values: Stat, *, length: int, shape: tuple[int, ...]) -> Mask:
    """Give all elements of a row, a vector of `length` elements along the last axis, the number of their row."""
    return primitive()
