"""How many elements were counted."""

from __future__ import annotations

from mergegraph.dtypes import FLOAT64
from mergegraph.ir.types import TensorType
from mergegraph.ops.declaration import Locality, Stat, op, primitive


@op(
    locality=Locality.REDUCTION,
    primitive=True,
    internal=True,
    shape=lambda types: TensorType(FLOAT64, ()),
    scalar=lambda histogram: float(histogram.sum()),
)
def histogram_count(histogram: Stat) -> Stat:
    """Return the number of elements in a histogram."""
    return primitive()
