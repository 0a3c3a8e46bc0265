"""Means of columns."""

from __future__ import annotations

from mergegraph.dtypes import FLOAT64
from mergegraph.ir.types import TensorType
from mergegraph.ops.declaration import Locality, Point, Stat, op, primitive


@op(
    locality=Locality.ROWWISE,
    primitive=True,
    internal=True,
    shape=lambda types, rows, width: TensorType(FLOAT64, (width,)),
)
def column_mean(x: Point, *, rows: int, width: int) -> Stat:
    """Add up the elements of each of the `width` columns in float64, row after row, and divide by `rows`."""
    return primitive()
