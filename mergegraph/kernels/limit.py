"""Find the k-th largest magnitude of a tensor exactly, most often in a single pass.

A sample says between which bit patterns it lies. The pass counts the elements above these, and those between by their
pattern: few, so that a pass costs half of a histogram.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from mergegraph.kernels.bits import library, magnitudes
from mergegraph.kernels.buffers import shared
from mergegraph.kernels.counting import (
    BRACKET,
    INFINITY,
    LOW_BITS,
    Bracket,
    Histogram,
    Limit,
    guess,
    magnitude,
    nothing,
    rank_of,
)
from mergegraph.kernels.loan import Loan
from mergegraph.kernels.magnitude import MagnitudeHistogram
from mergegraph.kernels.tile import BLOCK, Tile

_OFTEN = 50
"""Numbers that come more often than once in so many elements are worth counting apart."""


class MagnitudeLimit:
    """Finds the k-th largest magnitude of `size` elements.

    After a pass over all tiles, `again` tells whether another is needed: the sample may have been misleading. Then
    the second pass counts by the upper bits, as `MagnitudeHistogram`, and the third finds it where that says.
    """

    def __init__(self, scalars: tuple[Histogram, float], size: int) -> None:
        sample, k = scalars
        self._size = size
        self._rank = rank_of(k, size)
        self._histogram: MagnitudeHistogram | None = None
        self._begin(guess(sample, self._rank, size))

    def _begin(self, bracket: Bracket) -> None:
        self.bracket = bracket
        self._above = self._nonfinite = 0
        self._members: _Members | None = None

    def update(self, tile: Tile, x: torch.Tensor) -> None:
        """Take in the next tile."""
        if self._histogram is not None:
            self._histogram.update(tile, x)
            return
        self._members = self._members or _Members(self.bracket, self._size, x.device)
        count = self._count_on_cpu if self.bracket.finite and library(x) is np else self._count
        flat = x.view(-1)
        for _, _, part in tile.blocks():
            count(flat[part], self._members)

    def again(self) -> bool:
        """Tell whether the tiles must be seen again."""
        if self._histogram is not None:
            counts, self._histogram = self._histogram.result(), None
            self._begin(guess(counts, self._rank, self._size))
            return True
        if self._rank == 0 or self._above < self._rank <= self._above + self._within():
            return False
        self._histogram = MagnitudeHistogram()
        return True

    def result(self) -> Limit:
        """Return the limit."""
        if self._rank == 0 or self._members is None:
            return nothing(self._nonfinite)
        return self.bracket.limit(self._members.totals(), self._rank - self._above, self._nonfinite)

    def _within(self) -> int:
        return self._members.count if self._members else 0

    def _count_on_cpu(self, x: torch.Tensor, members: _Members) -> None:
        size = x.numel()
        sizes, beyond, within, usual = (room[:size] for room in members.rooms)
        np.abs(x.numpy(), out=sizes)
        if not math.isfinite(sizes.max()):
            self._count(x, members)
            return
        above = int(np.count_nonzero(np.greater_equal(sizes, members.high, out=beyond)))
        left = int(np.count_nonzero(np.greater_equal(sizes, members.low, out=within))) - above
        self._above += above
        if members.usual is not None:
            found = int(np.count_nonzero(np.equal(sizes, members.usual, out=usual)))
            members.add_usual(found)
            left -= found
            np.logical_or(beyond, usual, out=beyond)
        if left:
            patterns = sizes.compress(np.greater(within, beyond, out=within)).view(np.int32)
            members.add(torch.from_numpy(np.subtract(patterns, self.bracket.low, out=patterns)))

    def _count(self, x: torch.Tensor, members: _Members) -> None:
        offset = magnitudes(x) - self.bracket.low
        self._nonfinite += int(torch.count_nonzero(offset >= INFINITY - self.bracket.low))
        self._above += int(torch.count_nonzero(offset >= self.bracket.width))
        members.add(offset[(offset >= 0) & (offset < self.bracket.width)])


class _Members:
    """Counts the patterns of a bracket, some thousands at a time, as numbers from 0 on; at most `most` in all.

    Differences of narrow floats are often equal. The `usual` magnitude, if there is one, is better counted apart.
    `low` and `high` are the ends of the bracket; in `rooms` magnitudes are compared with them.
    """

    def __init__(self, bracket: Bracket, most: int, device: torch.device) -> None:
        self.count = 0
        self.low, self.high = (np.float32(magnitude(bits)) for bits in (bracket.low, bracket.high))
        self.usual: np.float32 | None = None
        self.rooms = [shared(torch.float32, 0, device).cpu().numpy()]
        self.rooms += [shared(torch.bool, place, device).cpu().numpy() for place in range(3)]
        self._bracket = bracket
        self._usual = self._usual_count = 0
        self._loan = Loan(_wide_counts if most >> 31 else _counts, device)
        self._counts = self._loan.value[: bracket.width].zero_()
        self._pending: list[torch.Tensor] = []
        self._waiting = 0

    def add(self, numbers: torch.Tensor) -> None:
        """Take in more of them."""
        size = numbers.numel()
        self.count += size
        self._waiting += size
        self._pending.append(numbers)
        if self._waiting >= BLOCK:
            self._flush()
        if self.usual is None and size > BLOCK // _OFTEN:
            self._look_for_the_usual(numbers[: BLOCK // _OFTEN])

    def add_usual(self, count: int) -> None:
        """Take in the usual magnitude so many times."""
        self.count += count
        self._usual_count += count

    def totals(self) -> npt.NDArray[np.integer[Any]]:
        """Return how often each number was seen."""
        self._flush()
        self._counts[self._usual] += self._usual_count
        self._usual_count = 0
        totals: npt.NDArray[np.integer[Any]] = self._counts.cpu().numpy()
        return totals

    def _look_for_the_usual(self, numbers: torch.Tensor) -> None:
        """Find out whether every eighth number or more is the same."""
        values, counts = torch.unique(numbers, return_counts=True)
        place = int(counts.argmax())
        if int(counts[place]) * 8 >= numbers.numel():
            self._usual = int(values[place])
            self.usual = np.float32(magnitude(self._bracket.low + self._usual))

    def _flush(self) -> None:
        for numbers in torch.split(torch.cat(self._pending), BLOCK) if self._pending else ():
            index = shared(torch.int64, 0, numbers.device)[: numbers.numel()].copy_(numbers)
            self._counts.scatter_add_(0, index, torch.ones_like(numbers, dtype=self._counts.dtype))
        self._pending = []
        self._waiting = 0


def _counts(device: torch.device) -> torch.Tensor:
    return torch.empty(BRACKET << LOW_BITS, dtype=torch.int32, device=device)


def _wide_counts(device: torch.device) -> torch.Tensor:
    return torch.empty(BRACKET << LOW_BITS, dtype=torch.int64, device=device)
