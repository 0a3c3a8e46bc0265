"""Numbers of a vector, put in another order."""

from __future__ import annotations

from mergegraph.dtypes import FLOAT64
from mergegraph.ir.types import TensorType
from mergegraph.ops.declaration import Locality, Stat, Table, op, primitive


@op(
    locality=Locality.REDUCTION,
    primitive=True,
    internal=True,
    shape=lambda types, count: TensorType(FLOAT64, (count,)),
)
def picked(values: Stat, table: Table, *, count: int) -> Stat:
    """Take the `count` elements that part 0 of a table names; 0 for -1."""
    return primitive()
