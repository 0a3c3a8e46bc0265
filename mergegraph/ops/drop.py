"""Dropping changes at random."""

from __future__ import annotations

from functools import partial
from typing import Literal

from mergegraph.ops.declaration import Delta, Fraction, Key, Locality, op
from mergegraph.ops.multiply import multiply
from mergegraph.ops.random_mask import random_mask
from mergegraph.ops.rescaling import rescaled


@op(locality=Locality.REDUCTION, paper="2311.03099")
def drop(
    d: Delta, density: Fraction, key: Key, *, seed: int = 0, rescale: Literal["none", "l1", "inverse"] | bool = "none"
) -> Delta:
    """Keep each element with probability `density`, zero the others.

    The bits are a hash of the recipe's seed, `seed`, the delta's expression, the tensor's name and the element's
    index: no two models and no two tensors share a mask, and a mask does not depend on how the merge is run.
    `rescale="l1"`, or `true`, multiplies by `‖d‖₁ / ‖kept‖₁` (unless either is below 1e-7),
    `"inverse"` divides by the density.
    """
    mask = random_mask(density, key, shape=d.tensor.shape)
    return rescaled(d, partial(multiply, y=mask), density, rescale)
