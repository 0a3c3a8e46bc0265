"""Weighted mean direction."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

from mergegraph.ir.node import Node
from mergegraph.ops.add import add
from mergegraph.ops.component import component
from mergegraph.ops.declaration import Locality, Point, Points, Scalars, op
from mergegraph.ops.divide import divide
from mergegraph.ops.dot import dot
from mergegraph.ops.gram import upper
from mergegraph.ops.mean import weights_problem
from mergegraph.ops.multiply import multiply
from mergegraph.ops.projected_coefficients import projected_coefficients


def _check(xs: list[Node], weight: list[Node], normalize_weights: bool) -> str | None:
    return weights_problem(weight, "normalize_weights") if normalize_weights else None


@op(locality=Locality.REDUCTION, check=_check)
def spherical_mean(xs: Points, weight: Scalars = (1.0,), *, normalize_weights: bool = True) -> Point:
    """Take the weighted mean of the directions, as long as the weighted mean of the norms.

    With `uᵢ = xᵢ / ‖xᵢ‖` it is `Σ wᵢuᵢ / ‖Σ wᵢuᵢ‖ · Σ wᵢ‖xᵢ‖`, the weights divided by their sum if `normalize_weights`.
    A step in the tangent space at that point, as multislerp is often written, stays there: the tangents
    `uᵢ − ⟨uᵢ, m⟩m` add up to nothing. A zero tensor has no direction; where the directions cancel, it is the weighted
    mean. One pass for the inner products and one for the sum; a model of weight 0 is not read.
    """
    total = reduce(add, weight)
    shares = [divide(w, total) for w in weight] if normalize_weights else list(weight)
    coefficients = projected_coefficients([*upper(dot, xs), *shares], count=len(xs))
    return combined(xs, coefficients)


def combined(xs: Sequence[Node], coefficients: Node) -> Node:
    """Return the sum of tensors times numbers that were computed together."""
    return reduce(add, [multiply(x, component(coefficients, index=i)) for i, x in enumerate(xs)])
