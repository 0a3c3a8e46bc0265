"""A number for every column."""

from __future__ import annotations

from mergegraph.dtypes import FLOAT32
from mergegraph.ir.types import TensorType
from mergegraph.ops.declaration import Locality, Mask, Stat, op, primitive


@op(
    locality=Locality.SCAN,
    primitive=True,
    internal=True,
    shape=lambda types, shape: TensorType(FLOAT32, shape),
)
def spread_columns(values: Stat, *, shape: tuple[int, ...]) -> Mask:
    """Give all elements of a column, a vector along the first axis, the number of their column."""
    return primitive()
