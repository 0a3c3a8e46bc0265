"""Coefficients of the weighted mean direction."""

from __future__ import annotations

from mergegraph import geometry
from mergegraph.dtypes import FLOAT64
from mergegraph.ir.types import TensorType
from mergegraph.ops.declaration import Locality, Scalars, Stat, op, primitive


def _coefficients(*values: float, count: int) -> list[float]:
    return geometry.projected_mean(geometry.symmetric(values[:-count], count), values[-count:])


@op(
    locality=Locality.REDUCTION,
    primitive=True,
    internal=True,
    shape=lambda types, count: TensorType(FLOAT64, (count,)),
    scalar=_coefficients,
)
def projected_coefficients(values: Scalars, *, count: int) -> Stat:
    """Return the coefficients of `count` vectors in their mean direction, from their inner products and weights."""
    return primitive()
