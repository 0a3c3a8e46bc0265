"""Ranks in rows."""

from __future__ import annotations

from mergegraph.dtypes import FLOAT32
from mergegraph.ir.types import TensorType
from mergegraph.ops.declaration import Delta, Locality, Mask, op, primitive


@op(
    locality=Locality.ROWWISE,
    primitive=True,
    internal=True,
    shape=lambda types: TensorType(FLOAT32, types[0].shape),
)
def row_ranks(x: Delta) -> Mask:
    """Rank the elements of each row, the vectors along the last axis, by ascending magnitude: 0, 1, …

    Of equal magnitudes the one of lower index comes first; NaN comes last.
    """
    return primitive()
