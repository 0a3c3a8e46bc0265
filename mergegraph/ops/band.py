"""Keeping the middle."""

from __future__ import annotations

from functools import partial
from typing import Literal

from mergegraph.ir.node import Node
from mergegraph.ops.add import add
from mergegraph.ops.clamp import clamp
from mergegraph.ops.declaration import Delta, Fraction, Locality, op
from mergegraph.ops.floor import floor
from mergegraph.ops.limits import magnitudes
from mergegraph.ops.min import min_
from mergegraph.ops.multiply import multiply
from mergegraph.ops.rescaling import rescaled
from mergegraph.ops.subtract import subtract
from mergegraph.ops.threshold import threshold


def _caution(d: None, density: float | None, gamma: float | None, **_: object) -> str | None:
    if density is None or gamma is None or density < 1.0 or gamma <= 0.0:
        return None
    return f"density {density:g} keeps all elements, so that `gamma` drops none"


@op(locality=Locality.REDUCTION, paper="2312.06795", caution=_caution)
def band(
    d: Delta,
    density: Fraction,
    gamma: Fraction = 0.01,
    *,
    scope: Literal["tensor", "model"] = "tensor",
    rescale: Literal["none", "l1"] | bool = "none",
) -> Delta:
    """Drop the `⌊gamma·N⌋` elements of largest magnitude, then the smallest, so that `⌊density·N⌋` remain.

    Where both do not fit, fewer of the largest are dropped. Of equal magnitudes the one of lower index is the larger.
    Density 1 or more keeps all, whatever `gamma` is, and 0 or less nothing. `scope="model"` takes two thresholds for
    all tensors of the model, as `trim` takes one.
    `rescale="l1"`, or `true`, multiplies by `‖d‖₁ / ‖kept‖₁` (unless either is below 1e-7).
    """
    found = magnitudes(d, scope)
    count = found.count
    k = clamp(floor(multiply(density, count)), 0.0, count)
    top = min_(floor(multiply(gamma, count)), subtract(count, k))
    keep = partial(_between, outer=found.limit(add(top, k)), inner=found.limit(top))
    return rescaled(d, keep, density, rescale)


def _between(x: Node, outer: Node, inner: Node) -> Node:
    # What is in both is taken from itself, which leaves an exact zero.
    return subtract(threshold(x, outer), threshold(x, inner))
