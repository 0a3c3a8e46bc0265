"""Keeping what a low rank can hold of a change."""

from __future__ import annotations

import math

from mergegraph.ir.node import Node
from mergegraph.ops.declaration import Delta, Locality, op
from mergegraph.ops.held import held
from mergegraph.ops.nearest import nearest


def _check(d: Node, rank: int | None, energy: float | None) -> str | None:
    return rank_problem("low_rank", rank, energy)


def rank_problem(name: str, rank: int | None, energy: float | None) -> str | None:
    """Return what is wrong with the rank and the share of squares that an operation is given, None if nothing is."""
    if rank is None and energy is None:
        return f"`{name}` needs a `rank`, a share of the squares to keep as `energy`, or both"
    if rank is not None and rank < 1:
        return f"`rank` must be at least 1; here it is {rank}"
    if energy is not None and not 0.0 < energy <= 1.0:
        return f"`energy` must lie above 0 and not above 1; here it is {energy:g}"
    return None


@op(locality=Locality.WHOLE, check=_check)
def low_rank(d: Delta, *, rank: int | None = None, energy: float | None = None) -> Delta:
    """Replace each matrix by the nearest of a rank: as much of a change as a LoRA adapter can hold.

    The nearest by the sum of squares, `U_r S_r V_rᵀ` of the singular value decomposition (Eckart and Young, 1936). With
    `energy` the rank is the least that keeps such a share of the sum of squares, at most `rank`. Tensors of one axis
    are kept as they are, and all whose rank can't be higher. One of three axes, none shorter than the first, is a
    stack of matrices, such as experts; any other is one matrix with a row for each index of the first axis, as peft
    does with convolutions. A matrix with an element that is not finite becomes NaN.
    """
    matrices, rows, columns = _matrices(d.tensor.shape)
    if min(rows, columns) <= (1 if energy is not None else rank or 0):
        return d
    found = nearest(d, matrices=matrices, rows=rows, columns=columns, rank=rank, energy=energy)
    return held(found, shape=d.tensor.shape)


def _matrices(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Return how many matrices a tensor is, and their rows and columns; one of a single axis is a row."""
    if len(shape) < 2:
        return 1, 1, math.prod(shape)
    if len(shape) == 3 and shape[0] <= min(shape[1:]):
        return shape
    return 1, shape[0], math.prod(shape[1:])
