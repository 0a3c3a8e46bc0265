"""Riemannian mean on the sphere."""

from __future__ import annotations

from mergegraph.ops.declaration import Locality, Point, Points, Scalar, op
from mergegraph.ops.dot import dot
from mergegraph.ops.gram import upper
from mergegraph.ops.riemannian_coefficients import riemannian_coefficients
from mergegraph.ops.spherical_mean import combined


@op(locality=Locality.REDUCTION)
def riemannian_mean(xs: Points, max_iter: Scalar = 10, tol: Scalar = 1e-5) -> Point:
    """Take the direction with the least sum of squared angles to those of all, as long as the mean norm.

    From `q = Σ uᵢ / ‖Σ uᵢ‖` on, each of at most `max_iter` steps follows the mean `T` of the logarithms
    `θᵢ / sin θᵢ · (uᵢ − cos θᵢ q)` to `q cos ‖T‖ + T sin ‖T‖ / ‖T‖`, until `‖T‖ < tol`. All points it comes by are
    combinations of the inputs, so that the steps need the inner products only and read nothing. A zero tensor has no
    direction, one whose cosine with q is below −0.9995 no logarithm; where the directions cancel, it is the mean.
    Karcher, 1977.
    """
    return combined(xs, riemannian_coefficients([*upper(dot, xs), max_iter, tol], count=len(xs)))
