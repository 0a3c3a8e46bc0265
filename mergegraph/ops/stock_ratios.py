"""Model Stock's ratio from inner products."""

from __future__ import annotations

from mergegraph import geometry
from mergegraph.dtypes import FLOAT64
from mergegraph.ir.types import TensorType
from mergegraph.ops.declaration import Locality, Stat, Stats, op, primitive
from mergegraph.ops.vectors import Numbers, per_vector


def _ratios(*gram: Numbers, count: int) -> tuple[Numbers, ...]:
    return per_vector(lambda *products: (geometry.stock_ratio(geometry.symmetric(products, count)),), 1, *gram)


@op(
    locality=Locality.REDUCTION,
    primitive=True,
    internal=True,
    shape=lambda types, count: TensorType(FLOAT64, (1, *types[0].shape)),
    scalar=_ratios,
)
def stock_ratios(gram: Stats, *, count: int) -> Stat:
    """Return `n c / (1 + (n−1) c)` from the inner products of `count` vectors, or of many groups of so many."""
    return primitive()
