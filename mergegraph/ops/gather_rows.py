"""Rows of vocabulary matrices, put together for another tokenizer."""

from __future__ import annotations

from mergegraph.dtypes import FLOAT32
from mergegraph.ir.types import TensorType
from mergegraph.ops.declaration import Locality, Point, Points, Table, op, primitive


@op(
    locality=Locality.ROWWISE,
    primitive=True,
    internal=True,
    shape=lambda types, width: TensorType(FLOAT32, types[0].shape),
)
def gather_rows(parts: Points, table: Table, *, width: int) -> Point:
    """Make each row of a matrix, or element of a vector, of the rows that a table names in the parts.

    A row that one part gives is that row, one that several give is their mean in float32, added in the order of the
    parts, and one that none gives is zero. The parts are read at the rows of the result: row `i` of a part is the row
    of its tensor that the table names for row `i`. Rows are of `width` elements.
    """
    return primitive()
