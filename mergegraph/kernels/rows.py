"""Look at rows, the vectors along the last axis. Tiles are of whole rows here, as matrices.

A sum over a row is taken in float64, in an order that depends on the length of the row only, neither on the tile it
came in nor on the width of a CPU's vectors.
"""

from __future__ import annotations

import math
from array import array

import numpy as np
import torch

from mergegraph.kernels.bits import library
from mergegraph.kernels.buffers import shared
from mergegraph.kernels.counting import MAGNITUDE
from mergegraph.kernels.exponential import exponential, series
from mergegraph.kernels.tile import BLOCK, Tile

_SORTED = 1 << 14
"""How many elements are ranked at a time."""

_COLUMNS = 256
"""How many sums a long row is brought to in float32."""


class RowDot:
    """Adds up the products of the elements of each row; in float64 they are exact."""

    def __init__(self, scalars: tuple[()], rows: int) -> None:
        self._found = array("d", bytes(8 * rows))

    def update(self, tile: Tile, x: torch.Tensor, y: torch.Tensor) -> None:
        """Take in the next rows."""
        _put(self._found, tile, x, _row_sums(x, y).tolist())

    def result(self) -> array[float]:
        """Return the sum of each row."""
        return self._found


def _put(found: array[float], tile: Tile, rows: torch.Tensor, values: list[float]) -> None:
    """Write the numbers of a tile's rows to their places."""
    first = tile.start // rows.shape[1]
    found[first : first + len(values)] = array("d", values)


def _room(like: torch.Tensor, place: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Return memory for a matrix like this one: shared, or of its own if its rows are longer than a block."""
    if like.numel() > BLOCK:
        return torch.empty(like.shape, dtype=dtype, device=like.device)
    return shared(dtype, place, like.device)[: like.numel()].view(like.shape)


def _row_sums(x: torch.Tensor, factor: torch.Tensor | None = None) -> torch.Tensor:
    """Return the sums over rows of a matrix, or of its products with another, in float64."""
    total = torch.zeros(len(x), dtype=torch.float64, device=x.device)
    # Rows that are longer than a block are added up block by block.
    for start in range(0, x.shape[1], BLOCK):
        part = x[:, start : start + BLOCK]
        values = _room(part, 0, torch.float64).copy_(part)
        if factor is not None:
            values.mul_(_room(part, 1, torch.float64).copy_(factor[:, start : start + BLOCK]))
        total += _added(values)
    return total


def _averaged_sums(x: torch.Tensor) -> torch.Tensor:
    """Return the sums over rows of a matrix of float32, in float64.

    Where they are long, columns are added up in float32 first: the roundings of so many make up for each other.
    """
    if x.shape[1] % _COLUMNS:
        return _row_sums(x)
    parts = x.view(len(x), -1, _COLUMNS)
    if library(x) is not np:
        return _row_sums(parts.sum(dim=1))
    with np.errstate(over="ignore", invalid="ignore"):
        return torch.from_numpy(np.add.reduce(np.add.reduce(parts.numpy(), axis=1).astype(np.float64), axis=1))


def _added(values: torch.Tensor) -> torch.Tensor:
    """Return the sums of the rows of a matrix, whose values may be lost.

    numpy adds contiguous rows by eights and pairs, the same with and without vectors; elsewhere rows are halved.
    """
    if library(values) is np:
        with np.errstate(over="ignore", invalid="ignore"):
            return torch.from_numpy(np.add.reduce(values.numpy(), axis=1))
    size = values.shape[1]
    while size > 1:
        half = (size + 1) // 2
        values[:, : size - half].add_(values[:, half:size])
        size = half
    return values[:, 0]


class RowDivergences:
    """Takes the Kullback–Leibler divergence of the softmax of each row of `b` from that of `a`."""

    def __init__(self, scalars: tuple[()], rows: int) -> None:
        self._found = array("d", bytes(8 * rows))
        self._rooms: list[torch.Tensor] = []

    def update(self, tile: Tile, a: torch.Tensor, b: torch.Tensor) -> None:
        """Take in the next rows."""
        if not self._rooms or self._rooms[0].shape != a.shape:
            self._rooms = [_room(a, place) for place in range(3)]
        near, apart = _near(a, b, *self._rooms)
        found = near.tolist()
        if not apart.amax() <= 1.0:
            for row in torch.nonzero(~(apart <= 1.0)).view(-1).tolist():
                found[row] = _far(a[row : row + 1].double(), b[row : row + 1].double())
        _put(self._found, tile, a, [math.log1p(x) for x in found])

    def result(self) -> array[float]:
        """Return the divergence of each row."""
        return self._found


def _near(
    a: torch.Tensor, b: torch.Tensor, weights: torch.Tensor, shift: torch.Tensor, rest: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return `exp(KL) − 1` of each row if it is at most 1 apart, and how far apart it is: the largest `|d − m|`.

    It works in three more matrices.

    With `p = softmax(a)`, `d = a − b` and its mean `m = Σ p d`, that is `Σ p g(m − d)`, `g(x) = exp(x) − 1 − x`: a sum
    of what is not negative, so that nothing cancels, and float32 will do for p and g, which is `x²` times a series.
    """
    _softmax_weights(a, weights, shift, rest)
    total = _averaged_sums(weights)
    torch.sub(b, a, out=shift)
    shift.sub_((_averaged_sums(torch.mul(weights, shift, out=rest)) / total)[:, None].float())
    apart = torch.maximum(shift.amax(dim=1), -shift.amin(dim=1))
    _graded(shift, 2, apart, _REMAINDER, rest)
    return _averaged_sums(rest.mul_(shift).mul_(shift).mul_(weights)) / total, apart


def _softmax_weights(a: torch.Tensor, out: torch.Tensor, one: torch.Tensor, other: torch.Tensor) -> None:
    """Write what the softmax of each row is proportional to. It works in two more matrices.

    A polynomial will do for rows that are at most 0.6 wide.
    """
    top, low = a.amax(dim=1, keepdim=True), a.amin(dim=1, keepdim=True)
    width = (top - low).view(-1)
    if width.amax() <= 0.6:
        _graded(torch.sub(a, (top + low) / 2, out=one), 0, width, _WEIGHTS, out)
        return
    exponential(torch.sub(a, top, out=out), one, other)
    narrow = width <= 0.6
    if narrow.any():
        x = a[narrow] - (top[narrow] + low[narrow]) / 2
        room = torch.empty_like(x)
        _graded(x, 0, width[narrow], _WEIGHTS, room)
        out[narrow] = room


_WEIGHTS = ((0.2, 4), (math.inf, 6))
_REMAINDER = ((1 / 64, 4), (1 / 16, 5), (math.inf, 10))
"""Up to which size of the elements of a row so many terms of a series are exact to 10⁻⁷."""


def _graded(
    x: torch.Tensor, first: int, sizes: torch.Tensor, grades: tuple[tuple[float, int], ...], out: torch.Tensor
) -> None:
    """Write a series of each row with as many terms as its size needs, whatever rows are beside it."""
    lowest, highest, before = sizes.amin().item(), sizes.amax().item(), -math.inf
    for limit, last in grades:
        if before < lowest and highest <= limit:
            series(x, first, last, out)
            return
        before = limit
    below = torch.zeros_like(sizes, dtype=torch.bool)
    for limit, last in grades:
        rows = ~below if limit == math.inf else ~below & (sizes <= limit)
        if rows.any():
            out[rows] = series(x[rows], first, last, torch.empty_like(x[rows]))
        below |= rows


def _far(a: torch.Tensor, b: torch.Tensor) -> float:
    """Return `exp(KL) − 1` of a single row, in float64, as `Σ exp(log p − x) − p (1 − x)` with `x = d − m`."""
    rooms = torch.empty_like(a), torch.empty_like(a)
    apart = a - b
    logarithm = a.sub_(a.amax())
    logarithm -= math.log(_row_sums(exponential(logarithm.clone(), *rooms)).item())
    weights = exponential(logarithm.clone(), *rooms)
    apart -= _row_sums(weights, apart)
    terms = exponential(logarithm.sub_(apart), *rooms).sub_(weights.mul_(1.0 - apart))
    found = _row_sums(terms).item()
    return 0.0 if found < 0.0 else found


def _order(x: torch.Tensor) -> torch.Tensor:
    """Return the indices of each row's elements in order of their magnitude, ties by index.

    On CPUs bit patterns are sorted by their lower and then by their upper 16 bits: numpy sorts these by radix, several
    times as fast as by comparison.
    """
    if library(x) is torch:
        return torch.sort(x.view(torch.int32) & MAGNITUDE, dim=1, stable=True).indices
    bits = x.numpy().view(np.uint32)
    order = torch.from_numpy(np.argsort(bits.astype(np.uint16), axis=1, kind="stable"))
    upper = torch.from_numpy((bits >> 16).astype(np.int16) & 0x7FFF)
    again = np.argsort(upper.gather(1, order).numpy(), axis=1, kind="stable")
    return order.gather(1, torch.from_numpy(again))


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
