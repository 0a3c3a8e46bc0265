"""How far apart rows are as distributions."""

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
def row_divergences(a: Point, b: Point, *, rows: int) -> Stat:
    """Take the Kullback–Leibler divergence `Σ p log(p/q)` of each row, `p` and `q` its softmax in `a` and in `b`."""
    return primitive()
