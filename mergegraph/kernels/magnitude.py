"""Find the k-th largest magnitude of many tensors exactly, in two passes and little memory.

The first pass counts the elements by the upper 15 magnitude bits, the second those of one bucket by the lower 16.
"""

from __future__ import annotations

import struct
from ctypes import Structure, c_int64, c_void_p
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from mergegraph.diagnostics import Diagnostic, MergeGraphError
from mergegraph.kernels.bits import INFINITY, MAGNITUDE, library, magnitudes
from mergegraph.kernels.buffers import Loan, shared
from mergegraph.kernels.tile import BLOCK, Tile

Histogram: TypeAlias = npt.NDArray[np.int64]

_LOW_BITS = 16
_LOW = (1 << _LOW_BITS) - 1
_HIGH = MAGNITUDE - _LOW
_BUCKETS = 1 << 15
_FULL = (1 << 31) - 1
_INFINITE = INFINITY >> _LOW_BITS


@dataclass(frozen=True, slots=True)
class Limit:
    """The k-th largest magnitude of a tensor.

    `bits` is its float32 pattern; that of infinity stands for NaN too. The k largest are all elements above it and the
    first `ties` of the `equal` at it; `equal` is 0 if k is 0 or the tensor empty. `nonfinite` counts the NaN and
    infinite elements: no other is larger.
    """

    bits: int
    ties: int
    equal: int
    nonfinite: int

    @property
    def value(self) -> float:
        """The magnitude."""
        return magnitude(self.bits)


def magnitude(bits: int) -> float:
    """Return the float32 number of a bit pattern."""
    number: float = struct.unpack("<f", struct.pack("<I", bits))[0]
    return number


def kth_magnitude(coarse: Histogram, fine: Histogram, k: float) -> Limit:
    """Read the k-th largest magnitude off the two histograms. k above the number of elements stands for all of them.

    MergeGraphError (MG451) if k is NaN.
    """
    rank = rank_of(k, int(coarse.sum()))
    nonfinite = int(coarse[_INFINITE:].sum())
    if rank == 0:
        return Limit(MAGNITUDE, ties=0, equal=0, nonfinite=nonfinite)
    bucket, above = locate(coarse, rank)
    low, more = locate(fine, rank - above)
    bits = bucket << _LOW_BITS | low
    return Limit(bits, ties=rank - above - more, equal=int(fine[low]), nonfinite=nonfinite)


def rank_of(k: float, size: int) -> int:
    """Return k as a whole number from 0 to `size`. MergeGraphError (MG451) if it is NaN."""
    if k != k:
        raise MergeGraphError(
            Diagnostic("MG451", "the number of elements to keep is not a number: the density is NaN", status=1)
        )
    return max(0, int(min(k, size)))


def locate(counts: npt.NDArray[np.integer[Any]], rank: int) -> tuple[int, int]:
    """Return the bucket of the element of this rank from above, and how many elements are in higher ones."""
    seen = np.cumsum(counts[::-1], dtype=np.int64)
    position = int(np.searchsorted(seen, rank))
    bucket = len(counts) - 1 - position
    return bucket, int(seen[position] - counts[bucket])


class HistogramState(Structure):
    """Where C counts, and that it looks at one part of so many of each tile."""

    _fields_ = (("counts", c_void_p), ("parts", c_int64))


class _Counter:
    """Counts indices below 2¹⁶: write them into `index`, then `add`.

    Adding ones at int32 counts takes half the time of `bincount`, which makes a new array of int64 for every call.
    """

    def __init__(self, device: torch.device) -> None:
        self.index = shared(torch.int64, 0, device)
        self._loan = Loan(_counts, device)
        self._loan.value.zero_()
        self._pending = 0
        self._totals = np.zeros(0, dtype=np.int64)

    def add(self, count: int) -> None:
        """Count the first `count` indices."""
        if self._pending + count > _FULL:
            self._flush()
        self._loan.value.scatter_add_(0, self.index[:count], _ones(self.index.device)[:count])
        self._pending += count

    def counts(self) -> int:
        """Return the address of the counts."""
        return self._loan.value.data_ptr()

    def totals(self) -> Histogram:
        """Return how often each index was seen."""
        self._flush()
        return self._totals

    def _flush(self) -> None:
        counts = self._loan.value.cpu().numpy().astype(np.int64)
        self._totals = counts if not self._totals.size else self._totals + counts
        self._loan.value.zero_()
        self._pending = 0


def _counts(device: torch.device) -> torch.Tensor:
    return torch.empty(1 << _LOW_BITS, dtype=torch.int32, device=device)


@cache
def _ones(device: torch.device) -> torch.Tensor:
    return torch.ones(BLOCK, dtype=torch.int32, device=device)


class MagnitudeHistogram:
    """Counts elements by the upper 15 of the 31 magnitude bits of float32."""

    def __init__(self, scalars: tuple[()] = ()) -> None:
        self._counter: _Counter | None = None

    def update(self, tile: Tile, x: torch.Tensor) -> None:
        """Take in the next tile."""
        self._counter = self._counter or _Counter(x.device)
        flat = x.view(-1)
        for _, _, part in tile.blocks():
            values = flat[part]
            index = self._counter.index[: len(values)]
            if library(x) is np:
                np.right_shift(values.numpy().view(np.uint32), _LOW_BITS, out=index.numpy())
            else:
                index.copy_(values.view(torch.int32)).bitwise_right_shift_(_LOW_BITS).bitwise_and_(_LOW)
            self._counter.add(len(values))

    def result(self) -> Histogram:
        """Return the 32,768 counts. What is infinite or NaN is in that of 0x7F80."""
        if self._counter is None:
            return np.zeros(_BUCKETS, dtype=np.int64)
        totals = self._counter.totals()
        counts: Histogram = totals[:_BUCKETS] + totals[_BUCKETS:]
        counts[_INFINITE] = counts[_INFINITE:].sum()
        counts[_INFINITE + 1 :] = 0
        return counts

    def lend(self, parts: int) -> HistogramState:
        """Return the state for tiles that C takes in, of tensors of fewer than 2³¹ elements."""
        self._counter = _Counter(torch.device("cpu"))
        return HistogramState(self._counter.counts(), parts)

    def take_back(self, state: HistogramState) -> None:
        """Take over the state: C has counted in its place."""


class BucketHistogram:
    """Counts the elements in the bucket of the k-th largest magnitude by their lower 16 bits."""

    def __init__(self, scalars: tuple[Histogram, float]) -> None:
        coarse, k = scalars
        rank = rank_of(k, int(coarse.sum()))
        self._bucket = locate(coarse, rank)[0] << _LOW_BITS if rank else None
        self._counter: _Counter | None = None

    def update(self, tile: Tile, x: torch.Tensor) -> None:
        """Take in the next tile."""
        if self._bucket is None:
            return
        self._counter = self._counter or _Counter(x.device)
        cpu = library(x) is np and self._bucket < INFINITY
        take = self._take_on_cpu if cpu else self._take
        flat = x.view(-1)
        for _, _, part in tile.blocks():
            self._counter.add(take(flat[part], self._counter.index, self._bucket))

    def result(self) -> Histogram:
        """Return the 65,536 counts."""
        if self._counter is None:
            return np.zeros(1 << _LOW_BITS, dtype=np.int64)
        return self._counter.totals()

    @staticmethod
    def _take_on_cpu(x: torch.Tensor, index: torch.Tensor, bucket: int) -> int:
        """Write the lower bits of the members of the bucket to `index`; return how many they are."""
        bits, members = x.numpy().view(np.uint32), shared(torch.bool, 0, x.device).numpy()[: x.numel()]
        upper = index.numpy().view(np.uint32)[: bits.size]
        np.bitwise_and(bits, _HIGH, out=upper)
        np.equal(upper, bucket, out=members)
        found = bits.compress(members)
        np.bitwise_and(found, _LOW, out=index.numpy()[: found.size])
        return int(found.size)

    @staticmethod
    def _take(x: torch.Tensor, index: torch.Tensor, bucket: int) -> int:
        bits = magnitudes(x)
        found = bits[(bits & _HIGH) == bucket]
        index[: found.numel()] = found & _LOW
        return found.numel()
