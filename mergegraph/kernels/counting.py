"""Read the k-th largest magnitude of a tensor off counts of bit patterns.

Without the sign bit float32 patterns sort as magnitudes do: 0, subnormals, normals, infinity. NaN counts as infinite.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from mergegraph.diagnostics import Diagnostic, MergeGraphError

MAGNITUDE = 0x7FFF_FFFF
"""All bits but the sign."""

INFINITY = 0x7F80_0000
"""The magnitude bits of infinity; those of NaN are larger."""

LOW_BITS = 16
"""Histograms count by the bits above these."""

BUCKETS = 1 << 15

BRACKET = 8
"""The most buckets of a bracket."""

_INFINITE = INFINITY >> LOW_BITS

Histogram: TypeAlias = npt.NDArray[np.int64]


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


@dataclass(frozen=True, slots=True)
class Bracket:
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

    def limit(self, counts: npt.NDArray[np.integer[Any]], rank: int, nonfinite: int) -> Limit:
        """Return the limit that is the element of this rank from above, by how often each pattern was seen."""
        # First the bucket and then the pattern: running sums of all patterns would take much memory.
        bucket, more = locate(counts.reshape(-1, 1 << LOW_BITS).sum(axis=1), rank)
        patterns = counts[bucket << LOW_BITS :][: 1 << LOW_BITS]
        place, higher = locate(patterns, rank - more)
        bits = self.low + (bucket << LOW_BITS) + place
        return Limit(bits, ties=rank - more - higher, equal=int(patterns[place]), nonfinite=nonfinite)


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
        return nothing(nonfinite)
    bucket, above = locate(coarse, rank)
    low, more = locate(fine, rank - above)
    bits = bucket << LOW_BITS | low
    return Limit(bits, ties=rank - above - more, equal=int(fine[low]), nonfinite=nonfinite)


def nothing(nonfinite: int) -> Limit:
    """Return the limit that no element reaches."""
    return Limit(MAGNITUDE, ties=0, equal=0, nonfinite=nonfinite)


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


def folded(counts: npt.NDArray[np.integer[Any]]) -> Histogram:
    """Return the 32,768 counts of magnitudes by those of the upper 16 bits, with the sign."""
    found: Histogram = counts[:BUCKETS].astype(np.int64) + counts[BUCKETS:]
    found[_INFINITE] = found[_INFINITE:].sum()
    found[_INFINITE + 1 :] = 0
    return found


def guess(sample: Histogram, rank: int, size: int) -> Bracket:
    """Return between which patterns the element of a rank is, by a histogram of some of `size` elements, or of all.

    Of some it allows for five standard deviations of a random sample, and for as much as parts of a tensor may differ.
    """
    seen = int(sample.sum())
    if rank == 0 or seen == 0:
        return Bracket(0, 1 << LOW_BITS)
    share = rank / size
    centre = share * seen
    margin = 0.0 if seen == size else 5.0 * math.sqrt(centre * (1.0 - share)) + 0.02 * centre * (1.0 - share) + 1.0
    middle = locate(sample, _within(centre, seen))[0]
    first = max(locate(sample, _within(centre + margin, seen))[0], middle - BRACKET // 2)
    last = min(locate(sample, _within(centre - margin, seen))[0], first + BRACKET - 1)
    return Bracket(first << LOW_BITS, (last - first + 1) << LOW_BITS)


def _within(rank: float, seen: int) -> int:
    return max(1, min(seen, round(rank)))
