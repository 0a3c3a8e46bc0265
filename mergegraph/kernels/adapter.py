"""Change matrices by smaller ones that are held in memory: the products of LoRA, rows that are given anew, DoRA."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from mergegraph.kernels.buffers import shared
from mergegraph.kernels.matrix import pieces
from mergegraph.kernels.tile import BLOCK, Tile

_MANTISSA = 53


class LowRank:
    """Multiplies `b` by `a`, or transposed `a` by `b`, the rows of the product tile by tile; see `ops.adapter_product`.

    Every factor is cut into two parts of so few bits that no product or sum of them is rounded in float64. So it does
    not matter in which order a library adds up, and the result is exact to some 40 bits of the largest products.
    """

    def __init__(
        self,
        scalars: tuple[torch.Tensor, torch.Tensor],
        length: int,
        transposed: bool,
        blocks: int,
        numbers: NDArray[np.int64] | None = None,
    ) -> None:
        b, a = scalars
        rank = a.shape[0] // blocks
        b, a = b.reshape(len(b), rank, blocks), a.reshape(blocks, rank, -1)
        pairs = [(b[:, :, i], a[i]) for i in range(blocks)]
        self._factors = [(a.T, b.T) if transposed else (b, a) for b, a in pairs]
        self._numbers = numbers
        self._rows = len(self._factors[0][0]) if numbers is None else len(numbers)
        self._length = length
        self._rank = rank
        self._bits = (_MANTISSA - (rank - 1).bit_length()) // 2
        self._held = -1
        self._right: tuple[torch.Tensor, torch.Tensor]

    def update(self, tile: Tile, out: torch.Tensor) -> None:
        """Write the next tile."""
        for row, column, part in pieces(tile, out.view(-1), self._length):
            for block, first, rows in self._blocks(row, part):
                self._multiply(self._left(block, first, len(rows)), self._sliced(block), column, rows)

    def _left(self, block: int, first: int, count: int) -> torch.Tensor:
        """Return the rows of the left factor for some of the product: those that are numbered so, zeros for -1."""
        factor = self._factors[block][0]
        if self._numbers is None:
            return factor[first : first + count]
        numbers = torch.from_numpy(self._numbers[first : first + count]).to(factor.device)
        return factor[numbers.clamp(min=0)] * (numbers >= 0)[:, None]

    def _blocks(self, row: int, part: torch.Tensor) -> Iterator[tuple[int, int, torch.Tensor]]:
        """Cut a run of rows where one expert ends and the next begins, and so that what is worked on fits a block."""
        most = max(1, BLOCK // max(self._rank, part.shape[1]))
        done = 0
        while done < len(part):
            block, first = divmod(row + done, self._rows)
            count = min(most, len(part) - done, self._rows - first)
            yield block, first, part[done : done + count]
            done += count

    def _sliced(self, block: int) -> tuple[torch.Tensor, torch.Tensor]:
        if block != self._held:
            self._right, self._held = _parts(self._factors[block][1], self._bits, 0), block
        return self._right

    def _multiply(
        self, left: torch.Tensor, right: tuple[torch.Tensor, torch.Tensor], column: int, out: torch.Tensor
    ) -> None:
        high, low = _parts(left, self._bits, 1)
        for start in range(0, out.shape[1], BLOCK):
            part = out[:, start : start + BLOCK]
            columns = slice(column + start, column + start + part.shape[1])
            total, term = (_room(part, place) for place in range(2))
            torch.mm(high, right[1][:, columns], out=total)
            total += torch.mm(low, right[0][:, columns], out=term)
            total += torch.mm(high, right[0][:, columns], out=term)
            part.copy_(total)


def expert_product(scalars: tuple[torch.Tensor, torch.Tensor, float], experts: int, first: int, rows: int) -> LowRank:
    """Return the kernel that multiplies the part of two matrices for one expert; see `ops.expert_product`."""
    b, a, number = scalars
    rank, expert = len(a) // experts, int(number)
    left = b.reshape(len(b), rank, experts)[first : first + rows, :, expert]
    right = a.reshape(experts, rank, -1)[expert]
    return LowRank((left, right), length=right.shape[1], transposed=False, blocks=1)


def token_product(
    scalars: tuple[torch.Tensor, torch.Tensor, NDArray[np.int64]], length: int, transposed: bool
) -> LowRank:
    """Return the kernel that multiplies two matrices for the tokens of a table; see `ops.token_product`."""
    b, a, table = scalars
    return LowRank((b, a), length, transposed, blocks=1, numbers=table[0])


def picked(values: torch.Tensor, table: NDArray[np.int64], count: int) -> torch.Tensor:
    """Return the `count` elements of a vector that a table names; see `ops.picked`."""
    numbers = torch.from_numpy(table[0, :count]).to(values.device)
    return values.double().flatten()[numbers.clamp(min=0)] * (numbers >= 0)


def _room(like: torch.Tensor, place: int) -> torch.Tensor:
    return shared(torch.float64, place, like.device)[: like.numel()].view(like.shape)


def _parts(matrix: torch.Tensor, bits: int, axis: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return two matrices whose sum is `matrix`, but for less than `2^(-2·bits - 1)` of the largest along `axis`.

    The elements of each are multiples, by whole numbers of at most `bits` bits, of one number for each vector.
    """
    wide = matrix.float().double()
    exponent = torch.frexp(wide.abs().amax(dim=axis, keepdim=True)).exponent
    high = _rounded(wide, exponent - bits)
    wide -= high
    return high, _rounded(wide, exponent - 2 * bits - 1)


def _rounded(x: torch.Tensor, exponent: torch.Tensor) -> torch.Tensor:
    """Round to multiples of a power of two: adding a large number leaves no room for what is smaller."""
    large = torch.ldexp(torch.full_like(exponent, 1.5, dtype=torch.float64), exponent + _MANTISSA - 1)
    return (x + large).sub_(large)


class ReplaceRows:
    """Copies a matrix with rows of `length` elements, and puts rows of another in the place of some."""

    def __init__(self, scalars: tuple[torch.Tensor], rows: tuple[int, ...], length: int) -> None:
        self._values = scalars[0]
        self._places = {row: place for place, row in enumerate(rows)}
        self._length = length

    def update(self, tile: Tile, out: torch.Tensor, x: torch.Tensor) -> None:
        """Write the next tile."""
        out.copy_(x)
        for row, column, part in pieces(tile, out.view(-1), self._length):
            for number in range(len(part)):
                place = self._places.get(row + number)
                if place is not None:
                    part[number].copy_(self._values[place, column : column + part.shape[1]])


def dora_factors(magnitudes: torch.Tensor, squares: Sequence[float]) -> array[float]:
    """Return `m / ‖v‖` for every vector; see `ops.dora_factors`."""
    wanted = magnitudes.double().flatten().tolist()
    step = len(squares) // max(1, len(wanted))
    norms = (math.sqrt(_added(squares[i * step : (i + 1) * step])) for i in range(len(wanted)))
    return array("d", (m / norm if norm else 0.0 for m, norm in zip(wanted, norms, strict=True)))


def _added(numbers: Sequence[float]) -> float:
    """Return the sum in order; `sum` compensates in some versions of Python."""
    total = 0.0
    for number in numbers:
        total += number
    return total
