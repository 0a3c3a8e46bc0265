"""The factors of a matrix, held whole."""

from __future__ import annotations

from mergegraph.dtypes import FLOAT32
from mergegraph.ir.types import TensorType
from mergegraph.ops.declaration import Delta, Locality, Stat, op, primitive
from mergegraph.ops.nearest import eigen_bytes


@op(
    locality=Locality.WHOLE,
    primitive=True,
    internal=True,
    shape=lambda types, rows, columns, rank: TensorType(FLOAT32, (rank * (rows + columns),)),
    workspace=lambda node: eigen_bytes(node) + 4 * node.inputs[0].tensor.count,
)
def factors(d: Delta, *, rows: int, columns: int, rank: int) -> Stat:
    """Find matrices `[rows, rank]` and `[rank, columns]` whose product is nearest to a matrix, one after the other."""
    return primitive()
