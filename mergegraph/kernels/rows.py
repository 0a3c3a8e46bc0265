"""Look at rows, the vectors along the last axis. Tiles are of whole rows here, as matrices.

A sum over a row is taken in float64 by halving: the second half is added to the first until one value is left. So it
depends on the length of the row only, neither on the tile it came in nor on the width of a CPU's vectors.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable

import numpy as np
import torch

from mergegraph.kernels.bits import MAGNITUDE
from mergegraph.kernels.exponential import exponential, second_remainder
from mergegraph.kernels.tile import BLOCK, Tile

_SORTED = 1 << 14
"""How many elements are ranked at a time."""


class RowDot:
    """Adds up the products of the elements of each row."""

    def __init__(self, scalars: tuple[()] = ()) -> None:
        self._sums = array("d")

    def update(self, tile: Tile, x: torch.Tensor, y: torch.Tensor) -> None:
        """Take in the next rows."""
        self._sums.extend(_row_sums(zip(_columns(x), _columns(y), strict=True)).tolist())

    def result(self) -> array[float]:
        """Return the sum of each row."""
        return self._sums


def _columns(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Cut rows that are longer than a block."""
    return torch.split(x, BLOCK, dim=1)


def _row_sums(parts: Iterable[tuple[torch.Tensor, ...]]) -> torch.Tensor:
    """Return the sums over rows of the products of matrices, which are given in parts of some columns each."""
    total: torch.Tensor | None = None
    for first, *others in parts:
        products = first.to(torch.float64, copy=True)
        for other in others:
            products.mul_(other)
        total = _folded(products) if total is None else total + _folded(products)
    assert total is not None
    return total


def _folded(values: torch.Tensor) -> torch.Tensor:
    """Return the sums of the rows of a float64 matrix, whose values are lost."""
    size = values.shape[1]
    while size > 1:
        half = (size + 1) // 2
        values[:, : size - half].add_(values[:, half:size])
        size = half
    return values[:, 0].clone()


class RowDivergences:
    """Takes the Kullback–Leibler divergence of the softmax of each row of `b` from that of `a`."""

    def __init__(self, scalars: tuple[()] = ()) -> None:
        self._found = array("d")

    def update(self, tile: Tile, a: torch.Tensor, b: torch.Tensor) -> None:
        """Take in the next rows."""
        near, apart = _near(a, b)
        found = near.tolist()
        for row in torch.nonzero(~(apart <= 1.0)).view(-1).tolist():
            found[row] = _far(a[row : row + 1], b[row : row + 1])
        self._found.extend(math.log1p(x) for x in found)

    def result(self) -> array[float]:
        """Return the divergence of each row."""
        return self._found


def _near(a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return `exp(KL) − 1` of each row, right if it is at most 1 apart, and how far apart it is: the largest `|d − m|`.

    With `p = softmax(a)`, `d = a − b` and its mean `m = Σ p d`, that is `Σ p g(d − m)`, `g(x) = exp(−x) − 1 + x`: a sum
    of what is not negative, so that nothing cancels, and float32 will do for p and g.
    """
    top = a.amax(dim=1, keepdim=True)
    parts = [(exponential(x - top), x - y) for x, y in zip(_columns(a), _columns(b), strict=True)]
    total = _row_sums((weight,) for weight, _ in parts)
    centre = (_row_sums(parts) / total)[:, None].float()
    apart = torch.stack([difference.sub_(centre).abs().amax(dim=1) for _, difference in parts]).amax(dim=0)
    return _row_sums((weight, second_remainder(difference.neg_())) for weight, difference in parts) / total, apart


def _far(a: torch.Tensor, b: torch.Tensor) -> float:
    """Return `exp(KL) − 1` of a single row, in float64, as `Σ exp(log p − x) − p (1 − x)` with `x = d − m`."""
    x, y = a.double(), b.double()
    logarithm = x - x.amax()
    logarithm -= math.log(_row_sums((exponential(part),) for part in _columns(logarithm)).item())
    apart = x.sub_(y)
    apart -= _row_sums((exponential(p), d) for p, d in zip(_columns(logarithm), _columns(apart), strict=True))
    terms = (
        (exponential(p - d) - exponential(p) * (1.0 - d),)
        for p, d in zip(_columns(logarithm), _columns(apart), strict=True)
    )
    found = _row_sums(terms).item()
    return 0.0 if found < 0.0 else found


class RowRanks:
    """Ranks the elements of each row by ascending magnitude, ties by index."""

    def __init__(self, scalars: tuple[()] = ()) -> None: ...

    def update(self, tile: Tile, out: torch.Tensor, x: torch.Tensor) -> None:
        """Write the ranks of the next rows: 0, 1, …"""
        length = x.shape[1]
        numbers = torch.arange(length, dtype=out.dtype, device=out.device)[None]
        step = max(1, _SORTED // length)
        for ranks, values in zip(torch.split(out, step), torch.split(x, step), strict=True):
            order = _order(values)
            ranks.scatter_(1, order, numbers.expand(len(order), length))


def _order(x: torch.Tensor) -> torch.Tensor:
    """Return the indices of each row's elements in order of their magnitude.

    On CPUs the bit patterns are sorted by 16 bits at a time, the lower ones first: numpy sorts 16 bits by radix, which
    is four times as fast as any comparison.
    """
    if not x.is_cpu:
        return torch.sort(x.view(torch.int32) & MAGNITUDE, dim=1, stable=True).indices
    bits = x.numpy().view(np.uint32)
    order = np.argsort(bits.astype(np.uint16), axis=1, kind="stable")
    upper = ((bits & MAGNITUDE) >> 16).astype(np.uint16)
    again = np.argsort(np.take_along_axis(upper, order, axis=1), axis=1, kind="stable")
    return torch.from_numpy(np.take_along_axis(order, again, axis=1))
