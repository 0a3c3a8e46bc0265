"""Keeping the largest changes."""

from __future__ import annotations

from functools import partial
from typing import Literal

from mergegraph.ops.clamp import clamp
from mergegraph.ops.declaration import Delta, Fraction, Locality, op
from mergegraph.ops.floor import floor
from mergegraph.ops.less_equal import less_equal
from mergegraph.ops.limits import magnitudes
from mergegraph.ops.multiply import multiply
from mergegraph.ops.rescaling import rescaled
from mergegraph.ops.threshold import threshold
from mergegraph.ops.where import where


@op(locality=Locality.REDUCTION, paper="2306.01708")
def trim(
    d: Delta,
    density: Fraction,
    *,
    scope: Literal["tensor", "model"] = "tensor",
    rescale: Literal["none", "l1"] | bool = "none",
) -> Delta:
    """Keep the `k = max(1, ⌊density·N⌋)` elements of largest magnitude, first of equals; zero the rest.

    Density 1 or more keeps all, 0 or less nothing. `scope="model"` takes one threshold for all tensors of the model,
    with N the number of all its elements, as the paper does; what equals the threshold is kept everywhere then.
    `rescale="l1"`, or `true`, multiplies by `‖d‖₁ / ‖kept‖₁` (unless either is below 1e-7).
    """
    found = magnitudes(d, scope)
    count = found.count
    k = where(less_equal(density, 0.0), 0.0, clamp(floor(multiply(density, count)), 1.0, count))
    return rescaled(d, partial(threshold, limit=found.limit(k)), density, rescale)
