"""How far apart rows are as distributions."""

from __future__ import annotations

from mergegraph.ops.declaration import Locality, Point, Stat, op, primitive
from mergegraph.ops.vectors import one_per_row


@op(locality=Locality.ROWWISE, primitive=True, internal=True, shape=one_per_row)
def row_divergences(a: Point, b: Point) -> Stat:
    """Take the Kullback–Leibler divergence `Σ p log(p/q)` of each row, `p` and `q` its softmax in `a` and in `b`."""
    return primitive()
