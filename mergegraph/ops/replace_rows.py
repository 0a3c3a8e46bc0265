"""Rows that are given anew."""

from __future__ import annotations

from mergegraph.dtypes import FLOAT32
from mergegraph.ir.types import TensorType
from mergegraph.ops.declaration import Locality, Point, Stat, op, primitive


@op(
    locality=Locality.SCAN,
    primitive=True,
    internal=True,
    shape=lambda types, rows, length: TensorType(FLOAT32, types[0].shape),
)
def replace_rows(x: Point, values: Stat, *, rows: tuple[int, ...], length: int) -> Point:
    """Put the rows of a small matrix in the place of those `rows`, of `length` elements each."""
    return primitive()
