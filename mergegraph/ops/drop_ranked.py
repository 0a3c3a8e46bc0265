"""Dropping changes at random, small ones rather than large ones."""

from __future__ import annotations

from functools import partial
from typing import Literal

from mergegraph.ir.graph import const_value
from mergegraph.ir.node import Node
from mergegraph.ops.abs import abs_
from mergegraph.ops.add import add
from mergegraph.ops.declaration import Delta, Fraction, Key, Locality, Scalar, op
from mergegraph.ops.multiply import multiply
from mergegraph.ops.packed_mask import packed_mask
from mergegraph.ops.random_mask import random_mask
from mergegraph.ops.ranked_mask import ranked_mask
from mergegraph.ops.rescaling import rescaled
from mergegraph.ops.row_ranks import row_ranks
from mergegraph.ops.subtract import subtract
from mergegraph.ops.unpacked_mask import unpacked_mask


def _check(d: Node, density: Node, epsilon: Node, key: Node, seed: int, rescale: str | bool) -> str | None:
    middle, spread = const_value(density), const_value(epsilon)
    if middle is None or spread is None or not 0.0 < middle < 1.0:
        return None
    if spread >= 0.0 and middle - spread > 0.0 and middle + spread < 1.0:
        return None
    return (
        f"density {middle:g} and epsilon {spread:g} ask for probabilities from {middle - spread:g} to "
        f"{middle + spread:g}: they must lie between 0 and 1, both left out"
    )


@op(locality=Locality.REDUCTION, paper="2406.11617", check=_check)
def drop_ranked(
    d: Delta,
    density: Fraction,
    epsilon: Scalar,
    key: Key,
    *,
    seed: int = 0,
    rescale: Literal["none", "l1", "inverse"] | bool = "none",
) -> Delta:
    """Keep the larger elements of each row with higher probability, zero the others.

    The element of rank r = 1 … m by ascending magnitude in its row, a vector along the last axis, is kept with
    probability `(density − epsilon) + 2·epsilon·(r−1)/(m−1)`, and with probability `density` in a row of one. All
    probabilities must lie between 0 and 1. Density 1 or more keeps all, 0 or less nothing. Bits are drawn as by `drop`.
    `rescale="l1"`, or `true`, multiplies by `‖d‖₁ / ‖kept‖₁` (unless either is below 1e-7),
    `"inverse"` divides each element by its probability.
    """
    length, shape = d.tensor.shape[-1], d.tensor.shape
    if length < 2:
        return rescaled(d, partial(multiply, y=random_mask(density, key, shape=shape)), density, rescale)
    low = subtract(density, epsilon)
    mask = ranked_mask(abs_(d), low, add(density, epsilon), key)
    again = unpacked_mask(packed_mask(mask, size=d.tensor.count), shape=shape)
    probability = add(multiply(row_ranks(d), multiply(epsilon, 2.0 / (length - 1))), low)
    return rescaled(d, partial(multiply, y=mask), probability, rescale, partial(multiply, y=again))
