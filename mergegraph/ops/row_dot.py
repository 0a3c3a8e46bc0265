"""Inner products of rows."""

from __future__ import annotations

from mergegraph.dtypes import FLOAT64
from mergegraph.ir.types import TensorType
from mergegraph.ops.declaration import Locality, Point, Stat, op, primitive


@op(
    locality=Locality.ROWWISE,
    primitive=True,
    internal=True,
    shape=lambda types, rows: TensorType(FLOAT64, (rows,)),
)
def row_dot(x: Point, y: Point, *, rows: int) -> Stat:
    """Add up the products of elements in each of the rows, the vectors along the last axis, in float64."""
    return primitive()
