"""Coefficients of the Riemannian mean."""

from __future__ import annotations

from mergegraph import geometry
from mergegraph.dtypes import FLOAT64
from mergegraph.ir.types import TensorType
from mergegraph.ops.declaration import Locality, Scalars, Stat, op, primitive


def _coefficients(*values: float, count: int) -> list[float]:
    *gram, steps, tolerance = values
    return geometry.riemannian_mean(geometry.symmetric(gram, count), steps, tolerance)


@op(
    locality=Locality.REDUCTION,
    primitive=True,
    internal=True,
    shape=lambda types, count: TensorType(FLOAT64, (count,)),
    scalar=_coefficients,
)
def riemannian_coefficients(values: Scalars, *, count: int) -> Stat:
    """Return the coefficients of `count` vectors in their Riemannian mean.

    The values are their inner products, the most steps, and the length of a step that ends the iteration.
    """
    return primitive()
