"""What the scans of rows.c keep; fields and their order are those of the structs there."""

from __future__ import annotations

from array import array
from ctypes import Structure, addressof, c_double, c_int64, c_uint64, c_void_p
from math import log1p

import numpy as np

from mergegraph.kernels.chance import Bounds


class RowDotState(Structure):
    """Where the sums go, and how long a row is."""

    _fields_ = (("found", c_void_p), ("length", c_int64))


class RowDot:
    """Adds up the products of the elements of each row."""

    def __init__(self, scalars: tuple[()], rows: int, *, row: int) -> None:
        self._found = array("d", bytes(8 * rows))
        self.state = RowDotState(_address(self._found), row)

    def result(self) -> array[float]:
        """Return the sum of each row."""
        return self._found


class DivergencesState(Structure):
    """Where the divergences go, as `exp(KL) − 1`, where C works, and how long a row is."""

    _fields_ = (("found", c_void_p), ("narrow", c_void_p), ("wide", c_void_p), ("length", c_int64))


class RowDivergences:
    """Finds the divergence of each row of one tensor from that of another."""

    def __init__(self, scalars: tuple[()], rows: int, *, row: int) -> None:
        self._found = array("d", bytes(8 * rows))
        self._rooms = np.empty(3 * row, dtype=np.float32), np.empty(4 * row)
        self.state = DivergencesState(_address(self._found), *(room.ctypes.data for room in self._rooms), row)

    def result(self) -> array[float]:
        """Return the divergence of each row."""
        return array("d", map(log1p, self._found))


class RankedState(Structure):
    """The bounds of the bits as signed numbers, how they become steps, the length of a row, and the key."""

    _fields_ = (
        *(("low", c_int64), ("high", c_int64), ("factor", c_int64), ("first", c_int64)),
        *(("length", c_int64), ("key", c_uint64)),
    )


class RankedMask:
    """Marks elements at random, the larger ones of a row more often."""

    def __init__(self, scalars: tuple[float, float, int], *, row: int) -> None:
        low, high, key = scalars
        bounds, half = Bounds.of(low, high), 1 << 31
        self.state = RankedState(bounds.low - half, bounds.high - half, *bounds.stepping(row), row, key)


def _address(numbers: array[float]) -> int:
    return addressof((c_double * len(numbers)).from_buffer(numbers)) if numbers else 0
