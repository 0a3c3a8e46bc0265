"""What the scans of scans.c keep; fields and their order are those of the structs there."""

from __future__ import annotations

from array import array
from ctypes import Structure, c_double, c_int64, c_void_p
from typing import Any

import numpy as np
import numpy.typing as npt

from mergegraph.kernels.adding import LEAVES, add_leaves
from mergegraph.kernels.counting import (
    BRACKET,
    LOW_BITS,
    MAGNITUDE,
    Bracket,
    Histogram,
    Limit,
    folded,
    guess,
    nothing,
    rank_of,
)
from mergegraph.kernels.loan import Loan

Counts = npt.NDArray[np.int32]
Bits = npt.NDArray[np.uint8]


class SumState(Structure):
    """The sum of the blocks before, how many elements of this one were seen, and its rows added up."""

    _fields_ = (("total", c_double), ("filled", c_int64), ("row", c_double * LEAVES))


class Sum:
    """Adds up elements or products."""

    def __init__(self, scalars: tuple[()] = ()) -> None:
        self.state = SumState()

    def result(self) -> float:
        """Return the sum."""
        total: float = self.state.total
        return add_leaves(total, np.array(self.state.row)) if self.state.filled else total


class CountState(Structure):
    """How many."""

    _fields_ = (("count", c_int64),)


class Count:
    """Counts the elements that a mask marks."""

    def __init__(self, scalars: tuple[()] = ()) -> None:
        self.state = CountState()

    def result(self) -> float:
        """Return the count."""
        return float(self.state.count)


class HistogramState(Structure):
    """Where the counts are, and that it looks at one part of so many of each tile."""

    _fields_ = (("counts", c_void_p), ("parts", c_int64))


class MagnitudeHistogram:
    """Counts fewer than 2³¹ elements by their upper 16 bits."""

    def __init__(self, scalars: tuple[()] = (), *, parts: int) -> None:
        self._loan = Loan(_counts, 1 << LOW_BITS)
        self._loan.value.fill(0)
        self.state = HistogramState(_address(self._loan.value), parts)

    def result(self) -> Histogram:
        """Return the 32,768 counts by the upper 15 bits of magnitudes."""
        return folded(self._loan.value)


class LimitState(Structure):
    """The bracket in which C counts the patterns, and how many were above it, within it and not finite.

    With a width of 0 it counts all by their upper 16 bits.
    """

    _fields_ = (
        *(("low", c_int64), ("width", c_int64)),
        *(("above", c_int64), ("within", c_int64), ("nonfinite", c_int64)),
        ("counts", c_void_p),
    )


class MagnitudeLimit:
    """Finds the k-th largest magnitude of `size` elements, fewer than 2³¹, in the passes that the kernel needs."""

    def __init__(self, scalars: tuple[Histogram, float], size: int) -> None:
        sample, k = scalars
        self._size = size
        self._rank = rank_of(k, size)
        self._loan = Loan(_counts, BRACKET << LOW_BITS)
        self._begin(guess(sample, self._rank, size))

    def _begin(self, bracket: Bracket) -> None:
        self.bracket = bracket
        self._count(bracket.low, bracket.width)

    def _count(self, low: int, width: int) -> None:
        self._counts = self._loan.value[: width or 1 << LOW_BITS]
        self._counts.fill(0)
        self.state = LimitState(low, width, counts=_address(self._counts))

    def again(self) -> bool:
        """Tell whether the tiles must be seen again."""
        if self.state.width == 0:
            self._begin(guess(folded(self._counts), self._rank, self._size))
            return True
        if self._rank == 0 or self.state.above < self._rank <= self.state.above + self.state.within:
            return False
        self._count(0, 0)
        return True

    def result(self) -> Limit:
        """Return the limit."""
        if self._rank == 0:
            return nothing(self.state.nonfinite)
        return self.bracket.limit(self._counts, self._rank - self.state.above, self.state.nonfinite)


class ThresholdState(Structure):
    """Magnitudes with larger bits are kept, and so many of those at them."""

    _fields_ = (("bits", c_int64), ("left", c_int64))


class Threshold:
    """Keeps the elements that reach a limit."""

    def __init__(self, scalars: tuple[Limit]) -> None:
        (limit,) = scalars
        self.state = ThresholdState(limit.bits, limit.ties) if limit.equal else ThresholdState(MAGNITUDE, 0)


class PackedState(Structure):
    """Where the bits are."""

    _fields_ = (("bits", c_void_p),)


class PackedMask:
    """Keeps a mask of `size` elements."""

    def __init__(self, scalars: tuple[()], size: int) -> None:
        self._bits: Bits = np.zeros(-(-size // 8), dtype=np.uint8)
        self.state = PackedState(_address(self._bits))

    def result(self) -> Bits:
        """Return the bits, eight elements to a byte."""
        return self._bits


class UnpackedMask:
    """Gives back a mask."""

    def __init__(self, scalars: tuple[Bits]) -> None:
        (self._bits,) = scalars
        self.state = PackedState(_address(self._bits))


class RowsState(Structure):
    """Where the numbers of the rows are, in float32, and how long a row is."""

    _fields_ = (("values", c_void_p), ("length", c_int64))


class SpreadRows:
    """Gives all elements of a row of `length` elements the number of their row."""

    def __init__(self, scalars: tuple[array[float]], length: int) -> None:
        self._values = _narrow(scalars[0])
        self.state = RowsState(_address(self._values), length)


class ColumnDotState(Structure):
    """Where the sums are, and of how many columns."""

    _fields_ = (("found", c_void_p), ("length", c_int64))


class ColumnDot:
    """Adds up the products of the elements of each column."""

    def __init__(self, scalars: tuple[()], columns: int) -> None:
        self._found = array("d", bytes(8 * columns))
        self.state = ColumnDotState(_address(np.frombuffer(self._found)), columns)

    def result(self) -> array[float]:
        """Return the sum of each column."""
        return self._found


class SpreadColumns:
    """Gives all elements of a column the number of their column; its state is that of `SpreadRows`."""

    def __init__(self, scalars: tuple[array[float]]) -> None:
        self._values = _narrow(scalars[0])
        self.state = RowsState(_address(self._values), len(self._values))


def _counts(size: int) -> Counts:
    return np.empty(size, dtype=np.int32)


def _narrow(numbers: array[float]) -> npt.NDArray[np.float32]:
    """Return numbers in float32."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.array(numbers, dtype=np.float64).astype(np.float32)


def _address(values: npt.NDArray[Any]) -> int:
    return int(values.ctypes.data)
