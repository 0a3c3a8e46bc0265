"""Read rows of a tensor in another order."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

SHORT_ROW = 16
"""Bytes up to which a row is cheaper to find among all between the first and the last than to read alone."""


def read_rows(
    rows: NDArray[np.int64], nbytes: int, buffer: memoryview, read: Callable[[int, memoryview], None]
) -> None:
    """Fill `buffer` with these rows of `nbytes` bytes each, by `read(offset, part of the buffer)`.

    Rows that follow each other are read at once; where a number is -1 the buffer stays as it is.
    """
    here = np.flatnonzero(rows >= 0)
    if len(here) == 0 or nbytes == 0:
        return
    wanted = rows[here]
    # A run ends where the next row is not the next one of the tensor, or does not go to the next place.
    ends = np.flatnonzero((np.diff(wanted) != 1) | (np.diff(here) != 1)) + 1
    if nbytes <= SHORT_ROW and len(ends) * SHORT_ROW > len(rows):
        _pick(wanted, here, nbytes, buffer, read)
        return
    starts, stops = [0, *ends.tolist()], [*ends.tolist(), len(here)]
    for start, stop in zip(starts, stops, strict=True):
        place = int(here[start]) * nbytes
        read(int(wanted[start]) * nbytes, buffer[place : place + (stop - start) * nbytes])


def _pick(
    wanted: NDArray[np.int64],
    here: NDArray[np.intp],
    nbytes: int,
    buffer: memoryview,
    read: Callable[[int, memoryview], None],
) -> None:
    """Read everything from the first to the last row that is wanted, and take them from there."""
    first, last = int(wanted.min()), int(wanted.max())
    found = np.empty((last + 1 - first, nbytes), dtype=np.uint8)
    read(first * nbytes, found.data.cast("B"))
    np.frombuffer(buffer, dtype=np.uint8).reshape(-1, nbytes)[here] = found[wanted - first]
