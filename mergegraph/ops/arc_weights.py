"""Weights on a great circle."""

from __future__ import annotations

from mergegraph import geometry
from mergegraph.dtypes import FLOAT64
from mergegraph.ir.types import TensorType
from mergegraph.ops.declaration import Locality, Scalar, Stat, op, primitive
from mergegraph.ops.vectors import Numbers, per_vector


def _weights(aa: Numbers, ab: Numbers, bb: Numbers, t: float, *, parallel: float) -> tuple[Numbers, ...]:
    def one_pair(*products: float) -> tuple[float, float]:
        return geometry.arc_weights(products[0], products[1], products[2], t, parallel)

    return per_vector(one_pair, 2, aa, ab, bb)


@op(
    locality=Locality.REDUCTION,
    primitive=True,
    internal=True,
    shape=lambda types, parallel: TensorType(FLOAT64, (2, *types[0].shape)),
    scalar=_weights,
)
def arc_weights(aa: Stat, ab: Stat, bb: Stat, t: Scalar, *, parallel: float) -> Stat:
    """Return the weights of two vectors in their spherical interpolation, from their inner products; or of many pairs.

    They are `1 − t` and `t` where a norm is at most 1e-8, or the cosine above `parallel` or below −0.9995.
    """
    return primitive()
