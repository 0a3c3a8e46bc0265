"""Rows that no token has."""

from __future__ import annotations

from mergegraph.dtypes import FLOAT32
from mergegraph.ir.types import TensorType
from mergegraph.ops.declaration import Locality, Point, Stat, op, primitive


@op(
    locality=Locality.ROWWISE,
    primitive=True,
    internal=True,
    shape=lambda types, rows, width: TensorType(FLOAT32, types[0].shape),
)
def pad_rows(x: Point, row: Stat, *, rows: int, width: int) -> Point:
    """Put one row in the place of all from number `rows` on. Rows are of `width` elements."""
    return primitive()
