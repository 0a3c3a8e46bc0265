"""Inner products of columns."""

from __future__ import annotations

from mergegraph.dtypes import FLOAT64
from mergegraph.ir.types import TensorType
from mergegraph.ops.declaration import Locality, Point, Stat, op, primitive


@op(
    locality=Locality.REDUCTION,
    primitive=True,
    internal=True,
    shape=lambda types, columns: TensorType(FLOAT64, (columns,)),
)
def column_dot(x: Point, y: Point, *, columns: int) -> Stat:
    """Add up the products of elements in each column, the vectors along the first axis, in float64, row after row."""
    return primitive()
