"""Find the k-th largest magnitude of a tensor exactly, most often in a single pass.

A sample says between which bit patterns it lies. The pass counts the elements above these, and those between by their
pattern: few, so that a pass costs half of a histogram.
"""

from __future__ import annotations

import math
from ctypes import Structure, c_int64, c_void_p
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from mergegraph.kernels.bits import INFINITY, MAGNITUDE, library, magnitudes
from mergegraph.kernels.buffers import Loan, shared
from mergegraph.kernels.magnitude import Histogram, Limit, MagnitudeHistogram, locate, magnitude, rank_of
from mergegraph.kernels.tile import BLOCK, Tile

_LOW_BITS = 16
_BUCKETS = 8
_OFTEN = 50
"""Numbers that come more often than once in so many elements are worth counting apart."""


@dataclass(frozen=True, slots=True)
class _Bracket:
    """The bit patterns from `low` on, `width` of them."""

    low: int
    width: int

    @property
    def high(self) -> int:
        """The pattern after the last."""
        return self.low + self.width

    @property
    def finite(self) -> bool:
        """Tell whether all are those of finite numbers."""
        return self.high <= INFINITY


class LimitState(Structure):
    """The bracket in which C counts the patterns, and how many were above it, within it and not finite."""

    _fields_ = (
        *(("low", c_int64), ("width", c_int64)),
        *(("above", c_int64), ("within", c_int64), ("nonfinite", c_int64)),
        ("counts", c_void_p),
    )


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

    def _begin(self, bracket: _Bracket) -> None:
        self._bracket = bracket
        self._above = self._nonfinite = 0
        self._members: _Members | None = None

    def update(self, tile: Tile, x: torch.Tensor) -> None:
        """Take in the next tile."""
        if self._histogram is not None:
            self._histogram.update(tile, x)
            return
        self._members = self._members or _Members(self._bracket, self._size, x.device)
        count = self._count_on_cpu if self._bracket.finite and library(x) is np else self._count
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
            return Limit(MAGNITUDE, ties=0, equal=0, nonfinite=self._nonfinite)
        counts, low, rank = self._members.totals(), self._bracket.low, self._rank - self._above
        # First the bucket and then the pattern: running sums of all patterns would take much memory.
        bucket, more = locate(counts.reshape(-1, 1 << _LOW_BITS).sum(axis=1), rank)
        patterns = counts[bucket << _LOW_BITS :][: 1 << _LOW_BITS]
        place, higher = locate(patterns, rank - more)
        bits = low + (bucket << _LOW_BITS) + place
        return Limit(bits, ties=rank - more - higher, equal=int(patterns[place]), nonfinite=self._nonfinite)

    def lend(self) -> LimitState:
        """Return the state for the tiles of the first pass if C takes them in, of fewer than 2³¹ elements."""
        self._members = _Members(self._bracket, self._size, torch.device("cpu"))
        return LimitState(self._bracket.low, self._bracket.width, counts=self._members.counts())

    def take_back(self, state: LimitState) -> None:
        """Take over the state after the last tile."""
        assert self._members is not None
        self._above, self._nonfinite, self._members.count = state.above, state.nonfinite, state.within

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
            members.add(torch.from_numpy(np.subtract(patterns, self._bracket.low, out=patterns)))

    def _count(self, x: torch.Tensor, members: _Members) -> None:
        offset = magnitudes(x) - self._bracket.low
        self._nonfinite += int(torch.count_nonzero(offset >= INFINITY - self._bracket.low))
        self._above += int(torch.count_nonzero(offset >= self._bracket.width))
        members.add(offset[(offset >= 0) & (offset < self._bracket.width)])


class _Members:
    """Counts the patterns of a bracket, some thousands at a time, as numbers from 0 on; at most `most` in all.

    Differences of narrow floats are often equal. The `usual` magnitude, if there is one, is better counted apart.
    `low` and `high` are the ends of the bracket; in `rooms` magnitudes are compared with them.
    """

    def __init__(self, bracket: _Bracket, most: int, device: torch.device) -> None:
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

    def counts(self) -> int:
        """Return the address of the counts."""
        return self._counts.data_ptr()

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
    return torch.empty(_BUCKETS << _LOW_BITS, dtype=torch.int32, device=device)


def _wide_counts(device: torch.device) -> torch.Tensor:
    return torch.empty(_BUCKETS << _LOW_BITS, dtype=torch.int64, device=device)


def guess(sample: Histogram, rank: int, size: int) -> _Bracket:
    """Return between which patterns the element of a rank is, by a histogram of some of `size` elements, or of all.

    Of some it allows for five standard deviations of a random sample, and for as much as parts of a tensor may differ.
    """
    seen = int(sample.sum())
    if rank == 0 or seen == 0:
        return _Bracket(0, 1 << _LOW_BITS)
    share = rank / size
    centre = share * seen
    margin = 0.0 if seen == size else 5.0 * math.sqrt(centre * (1.0 - share)) + 0.02 * centre * (1.0 - share) + 1.0
    middle = locate(sample, _within(centre, seen))[0]
    first = max(locate(sample, _within(centre + margin, seen))[0], middle - _BUCKETS // 2)
    last = min(locate(sample, _within(centre - margin, seen))[0], first + _BUCKETS - 1)
    return _Bracket(first << _LOW_BITS, (last - first + 1) << _LOW_BITS)


def _within(rank: float, seen: int) -> int:
    return max(1, min(seen, round(rank)))
