"""Put rows of several matrices together. Tiles are of whole rows."""

from __future__ import annotations

from array import array

import numpy as np
import torch
from numpy.typing import NDArray

from mergegraph.kernels.matrix import ColumnDot
from mergegraph.kernels.tile import Tile


class GatherRows:
    """Makes rows of `width` elements of those that a table `[part, row]` has no -1 for: the only one, or their mean.

    Where it has -1 for every part the row is zero, and what the tiles of the parts hold there is never looked at.
    """

    def __init__(self, scalars: tuple[NDArray[np.int64]], width: int) -> None:
        self._given = scalars[0] >= 0
        self._width = max(1, width)

    def update(self, tile: Tile, out: torch.Tensor, *parts: torch.Tensor) -> None:
        """Write the next rows."""
        first, rows = tile.start // self._width, tile.count // self._width
        given = self._given[:, first : first + rows]
        counts = given.sum(axis=0)
        target = out.view(rows, -1)
        if not counts.all():
            target[_indices(counts == 0, out)] = 0.0
        seen = np.zeros(rows, dtype=bool)
        for part, mask in zip(parts, given, strict=True):
            _put(target, part.view(rows, -1), mask & ~seen)
            _add(target, part.view(rows, -1), mask & seen)
            seen |= mask
        if counts.max(initial=0) > 1:
            several = _indices(counts > 1, out)
            target[several] /= torch.from_numpy(counts[counts > 1].astype(np.float32)).to(out.device)[:, None]


class ColumnMean:
    """Adds up the elements of each of `width` columns, row after row in float64, and divides by `rows`."""

    def __init__(self, scalars: tuple[()], rows: int, width: int) -> None:
        self._rows = rows
        self._sums = ColumnDot((), width)

    def update(self, tile: Tile, x: torch.Tensor) -> None:
        """Take in the next rows."""
        self._sums.update(tile, x, torch.ones_like(x))

    def result(self) -> array[float]:
        """Return the mean of each column."""
        return array("d", (total / self._rows for total in self._sums.result()))


class PadRows:
    """Puts one row of `width` elements in the place of all from number `rows` on."""

    def __init__(self, scalars: tuple[array[float]], rows: int, width: int) -> None:
        self._row = torch.tensor(scalars[0], dtype=torch.float32)
        self._rows = rows
        self._width = max(1, width)

    def update(self, tile: Tile, out: torch.Tensor, x: torch.Tensor) -> None:
        """Write the next rows."""
        out.copy_(x)
        kept = max(0, self._rows - tile.start // self._width)
        out.view(-1, self._width)[kept:] = self._row.to(out.device)


def _put(target: torch.Tensor, part: torch.Tensor, mask: NDArray[np.bool_]) -> None:
    if mask.all():
        target.copy_(part)
    elif mask.any():
        rows = _indices(mask, target)
        target[rows] = part[rows].to(target.dtype)


def _add(target: torch.Tensor, part: torch.Tensor, mask: NDArray[np.bool_]) -> None:
    if mask.any():
        rows = _indices(mask, target)
        target[rows] += part[rows].to(target.dtype)


def _indices(mask: NDArray[np.bool_], like: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(np.flatnonzero(mask)).to(like.device)
