"""Reduce tensors to sums, in float64 and in an order that only depends on the index of the elements."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch

from mergegraph.kernels.adding import LEAVES, add_leaves
from mergegraph.kernels.bits import library
from mergegraph.kernels.buffers import shared
from mergegraph.kernels.loan import Loan
from mergegraph.kernels.tile import BLOCK, Tile


class BlockSum:
    """Adds up values, one per element, in float64, block by block; `write(room, *parts)` computes them.

    A block is a matrix with rows of 1024 values, the last one padded with zeros. Its rows are added up one after the
    other, their sum likewise as rows of 16, and the 16 values that are left are added to the total in order. So the
    width of a CPU's vectors doesn't matter. `block(device)` makes the room for one: values that are exact in float32
    take less of it.
    """

    def __init__(
        self, write: Callable[..., torch.Tensor], block: Callable[..., torch.Tensor], scalars: tuple[()] = ()
    ) -> None:
        self._write = write
        self._make = block
        self._total = 0.0
        self._filled = 0
        self._loan: Loan[torch.Tensor] | None = None

    def update(self, tile: Tile, *tensors: torch.Tensor) -> None:
        """Take in the next tile."""
        flat = [tensor.view(-1) for tensor in tensors]
        for _, place, part in tile.blocks():
            block = self._block(place, [tensor[part] for tensor in flat])
            if self._filled == BLOCK:
                self._close(block)

    def result(self) -> float:
        """Return the sum."""
        if self._filled and self._loan:
            self._close(self._loan.value)
        return self._total

    def _block(self, place: int, parts: list[torch.Tensor]) -> torch.Tensor:
        """Return the block with what comes at a place of it: where it is, if that is all and as it should be."""
        self._filled = place + len(parts[0])
        if self._write is copy and len(parts[0]) == BLOCK:
            return parts[0]
        self._loan = self._loan or Loan(self._make, parts[0].device)
        self._write(self._loan.value[place : self._filled], *parts)
        return self._loan.value

    def _close(self, block: torch.Tensor) -> None:
        self._total = add_leaves(self._total, _added(block, self._filled))
        self._filled = 0


def narrow(device: torch.device) -> torch.Tensor:
    """Return room for a block in float32."""
    return torch.empty(BLOCK, dtype=torch.float32, device=device)


def wide(device: torch.device) -> torch.Tensor:
    """Return room for a block in float64."""
    return torch.empty(BLOCK, dtype=torch.float64, device=device)


def _added(block: torch.Tensor, count: int) -> npt.NDArray[np.float64]:
    """Return the sum of the rows of the first `count` values. Overwrites what comes after these."""
    size = -(-count // LEAVES) * LEAVES
    if size > count:
        block[count:size] = 0.0
    rows = block[:size].view(-1, LEAVES)
    if library(block) is not np:
        return _summed(rows).cpu().numpy()
    with np.errstate(over="ignore", invalid="ignore"):
        added: npt.NDArray[np.float64] = np.add.reduce(rows.numpy(), axis=0, dtype=np.float64)
    return added


def _summed(rows: torch.Tensor) -> torch.Tensor:
    total = rows[0].to(torch.float64, copy=True)
    for row in rows[1:]:
        total += row
    return total


def copy(room: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Write the elements themselves."""
    return room.copy_(x)


def products(room: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Write the products, which are exact: those of two float32 fit into float64."""
    if y.data_ptr() == x.data_ptr():
        return room.copy_(x).mul_(room)
    # Multiplying by a float32 tensor would make a float64 copy of it each time.
    return room.copy_(x).mul_(shared(torch.float64, 0, x.device)[: len(y)].copy_(y))


class Count:
    """Counts the elements that a mask marks."""

    def __init__(self, scalars: tuple[()] = ()) -> None:
        self._count = 0

    def update(self, tile: Tile, mask: torch.Tensor) -> None:
        """Take in the next tile."""
        # Sums of ones and zeros are exact in float32 up to 2²⁴ of them.
        self._count += sum(int(part.sum()) for part in torch.split(mask.view(-1), 1 << 24))

    def result(self) -> float:
        """Return the count."""
        return float(self._count)


class Differing:
    """Counts the elements that differ when they are rounded to a type; NaN if a difference is not finite."""

    def __init__(self, scalars: tuple[()], dtype: str) -> None:
        self._dtype = getattr(torch, dtype)
        self._count = 0.0

    def update(self, tile: Tile, x: torch.Tensor, y: torch.Tensor) -> None:
        """Take in the next tile."""
        found = int(x.to(self._dtype).ne(y.to(self._dtype)).sum())
        self._count += found if not found or bool(torch.isfinite(x - y).all()) else math.nan

    def result(self) -> float:
        """Return the count."""
        return self._count


class Extreme:
    """Finds the smallest or largest element: `of(tensor)` gives that of a tile, `none` is that of no elements."""

    def __init__(self, of: Callable[[torch.Tensor], torch.Tensor], none: float, scalars: tuple[()] = ()) -> None:
        self._of = of
        self._found = torch.tensor(none, dtype=torch.float32)

    def update(self, tile: Tile, x: torch.Tensor) -> None:
        """Take in the next tile."""
        self._found = self._of(torch.stack((self._found, self._of(x).cpu())))

    def result(self) -> float:
        """Return the element."""
        return float(self._found)
