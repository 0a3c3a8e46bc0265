"""Find the k-th largest magnitude of many tensors exactly, in two passes and little memory.

The first pass counts the elements by the upper 15 magnitude bits, the second those of one bucket by the lower 16.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch

from mergegraph.kernels.bits import library, magnitudes
from mergegraph.kernels.buffers import shared
from mergegraph.kernels.counting import BUCKETS, INFINITY, LOW_BITS, MAGNITUDE, Histogram, folded, locate, rank_of
from mergegraph.kernels.loan import Loan
from mergegraph.kernels.tile import BLOCK, Tile

_LOW = (1 << LOW_BITS) - 1
_HIGH = MAGNITUDE - _LOW
_FULL = (1 << 31) - 1


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
    return torch.empty(1 << LOW_BITS, dtype=torch.int32, device=device)


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
                np.right_shift(values.numpy().view(np.uint32), LOW_BITS, out=index.numpy())
            else:
                index.copy_(values.view(torch.int32)).bitwise_right_shift_(LOW_BITS).bitwise_and_(_LOW)
            self._counter.add(len(values))

    def result(self) -> Histogram:
        """Return the 32,768 counts. What is infinite or NaN is in that of 0x7F80."""
        if self._counter is None:
            return np.zeros(BUCKETS, dtype=np.int64)
        return folded(self._counter.totals())


class BucketHistogram:
    """Counts the elements in the bucket of the k-th largest magnitude by their lower 16 bits."""

    def __init__(self, scalars: tuple[Histogram, float]) -> None:
        coarse, k = scalars
        rank = rank_of(k, int(coarse.sum()))
        self._bucket = locate(coarse, rank)[0] << LOW_BITS if rank else None
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
            return np.zeros(1 << LOW_BITS, dtype=np.int64)
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
