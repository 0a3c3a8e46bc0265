"""Reduce tensors to sums, in float64 and in an order that only depends on the index of the elements."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from mergegraph.kernels.bits import library
from mergegraph.kernels.tile import BLOCK, Tile

_LEAVES = 16


class BlockSum:
    """Adds up float64 values, one per element, block by block; `write(room, *parts)` computes them.

    A block is padded with zeros to a power of two and halved, the upper half added to the lower one, until 16 values
    are left; these are added to the total in order. So the width of a CPU's vectors doesn't matter.
    """

    def __init__(self, write: Callable[..., torch.Tensor], scalars: tuple[()] = ()) -> None:
        self._write = write
        self._total = 0.0
        self._filled = 0
        self._buffer = torch.empty(0)

    def update(self, tile: Tile, *tensors: torch.Tensor) -> None:
        """Take in the next tile."""
        flat = [tensor.view(-1) for tensor in tensors]
        for part, room in self._rooms(tile, flat[0].device):
            self._write(room, *(tensor[part] for tensor in flat))

    def result(self) -> float:
        """Return the sum."""
        if self._filled:
            self._close()
        return self._total

    def _rooms(self, tile: Tile, device: torch.device) -> Iterator[tuple[slice, torch.Tensor]]:
        """Yield each part of the tile that falls into one block, with the room for its values."""
        if not self._buffer.numel():
            self._buffer = torch.empty(BLOCK, dtype=torch.float64, device=device)
        for _, at, part in tile.blocks():
            self._filled = at + part.stop - part.start
            yield part, self._buffer[at : self._filled]
            if self._filled == BLOCK:
                self._close()

    @np.errstate(over="ignore", invalid="ignore")
    def _close(self) -> None:
        size = max(_LEAVES, 1 << (self._filled - 1).bit_length())
        self._buffer[self._filled : size] = 0.0
        values: Any = self._buffer.numpy() if library(self._buffer) is np else self._buffer
        add = library(self._buffer).add
        while size > _LEAVES:
            size //= 2
            add(values[:size], values[size : 2 * size], out=values[:size])
        for value in values[:_LEAVES].tolist():
            self._total += value
        self._filled = 0


def copy(room: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Write the elements themselves."""
    return room.copy_(x)


def magnitudes(room: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Write the magnitudes."""
    return room.copy_(x).abs_()


def products(room: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Write the products, which are exact: those of two float32 fit into float64."""
    return room.copy_(x).mul_(room if y.data_ptr() == x.data_ptr() else y)


def count_nonfinite(x: torch.Tensor) -> int:
    """Count the NaN and infinite elements. A finite sum, which is cheaper to take, shows that there are none."""
    total = x.sum(dtype=torch.float32 if x.dtype.itemsize < 4 else x.dtype).item()
    return 0 if math.isfinite(total) else int(torch.count_nonzero(~torch.isfinite(x)))
