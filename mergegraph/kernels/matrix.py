"""Look at a flat tile as a part of a matrix: pieces of rows, and runs of whole rows."""

from __future__ import annotations

from array import array
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch

from mergegraph.kernels.buffers import shared
from mergegraph.kernels.tile import BLOCK, Tile

_WIDE = 128
"""How many columns are worth a call each row."""


def pieces(tile: Tile, flat: torch.Tensor, length: int) -> Iterator[tuple[int, int, torch.Tensor]]:
    """Cut a tile of a matrix with rows of `length` elements: yield first row, first column, and a matrix.

    Each is a run of whole rows, or the part of a single row that is in the tile.
    """
    done = 0
    while done < tile.count:
        row, column = divmod(tile.start + done, length)
        left = tile.count - done
        whole = left // length if column == 0 else 0
        count = whole * length or min(left, length - column)
        yield row, column, flat[done : done + count].view(max(1, whole), -1)
        done += count


def _room(like: torch.Tensor, place: int) -> torch.Tensor:
    if like.numel() > BLOCK:
        return torch.empty(like.shape, dtype=torch.float64, device=like.device)
    return shared(torch.float64, place, like.device)[: like.numel()].view(like.shape)


def _tensor(values: array[float]) -> torch.Tensor:
    """Return numbers as a tensor on the same memory."""
    return torch.frombuffer(values, dtype=torch.float64) if values else torch.empty(0, dtype=torch.float64)


class SpreadRows:
    """Gives all elements of a row, a vector of `length` elements along the last axis, the number of their row."""

    def __init__(self, scalars: tuple[array[float]], length: int) -> None:
        self._values = _tensor(scalars[0])
        self._length = length

    def update(self, tile: Tile, out: torch.Tensor) -> None:
        """Write the next tile."""
        for row, _, part in pieces(tile, out.view(-1), self._length):
            part.copy_(self._values[row : row + len(part)].float()[:, None])


class SpreadColumns:
    """Gives all elements of a column, a vector along the first axis, the number of their column."""

    def __init__(self, scalars: tuple[array[float]]) -> None:
        self._values = _tensor(scalars[0])

    def update(self, tile: Tile, out: torch.Tensor) -> None:
        """Write the next tile."""
        for _, column, part in pieces(tile, out.view(-1), len(self._values)):
            part.copy_(self._values[column : column + part.shape[1]].float())


class ColumnDot:
    """Adds up the products of the elements of each of `columns` columns, one row after the other in float64."""

    def __init__(self, scalars: tuple[()], columns: int) -> None:
        self._found = array("d", bytes(8 * columns))
        self._total = np.frombuffer(self._found)

    def update(self, tile: Tile, x: torch.Tensor, y: torch.Tensor) -> None:
        """Take in the next tile of both."""
        size = len(self._total)
        both = zip(pieces(tile, x.view(-1), size), pieces(tile, y.view(-1), size), strict=True)
        for (_, column, left), (_, _, right) in both:
            with np.errstate(over="ignore", invalid="ignore"):
                self._add(self._total[column : column + left.shape[1]], self._products(left, right))

    @staticmethod
    def _add(total: npt.NDArray[np.float64], products: npt.NDArray[np.float64]) -> None:
        """Add rows to their total, one after the other."""
        if len(total) >= _WIDE:
            for row in products:
                np.add(total, row, out=total)
        else:
            # Running sums are taken in order, as the loop does; a plain sum of narrow rows may go by pairs.
            products[0] += total
            total[:] = np.add.accumulate(products, axis=0, out=products)[-1]

    def _products(self, left: torch.Tensor, right: torch.Tensor) -> npt.NDArray[np.float64]:
        rooms = [_room(left, place) for place in range(2)]
        products: npt.NDArray[np.float64] = rooms[0].copy_(left).mul_(rooms[1].copy_(right)).cpu().numpy()
        return products

    def result(self) -> array[float]:
        """Return the sum of each column."""
        return self._found
