"""One of two factors."""

from __future__ import annotations

from mergegraph.dtypes import FLOAT32
from mergegraph.ir.types import TensorType
from mergegraph.ops.declaration import Locality, Stat, op, primitive


def _type(types: list[TensorType], rows: int, columns: int, left: bool, transposed: bool) -> TensorType:
    rank = types[0].count // (rows + columns)
    shape = (rows, rank) if left else (rank, columns)
    return TensorType(FLOAT32, shape[::-1] if transposed else shape)


@op(locality=Locality.WHOLE, primitive=True, internal=True, shape=_type)
def factor(found: Stat, *, rows: int, columns: int, left: bool, transposed: bool) -> Stat:
    """Take the `left` or the right one of two `factors`, as it is or transposed."""
    return primitive()
