"""Reduce tensors to sums, in float64 and in an order that only depends on the index of the elements."""

from __future__ import annotations

import math
from collections.abc import Callable
from ctypes import Structure, c_double, c_int64

import numpy as np
import numpy.typing as npt
import torch

from mergegraph.kernels.bits import library
from mergegraph.kernels.buffers import Loan, shared
from mergegraph.kernels.tile import BLOCK, Tile

_WIDE = 1024
_NARROW = 16
_INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}


class SumState(Structure):
    """What C adds up to: the sum of the blocks before, and the rows of this one."""

    _fields_ = (("total", c_double), ("filled", c_int64), ("row", c_double * _WIDE))


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

    def lend(self) -> SumState:
        """Return the state for tiles that C takes in: all of a tensor."""
        return SumState()

    def take_back(self, state: SumState) -> None:
        """Take over the state after the last tile."""
        self._total = state.total
        if state.filled:
            self._add(np.array(state.row))

    def _add(self, row: npt.NDArray[np.float64]) -> None:
        """Add the sums of the rows of a block."""
        # Running sums are taken in order; a plain sum of narrow rows may go by pairs.
        with np.errstate(over="ignore", invalid="ignore"):
            for leaf in np.add.accumulate(row.reshape(-1, _NARROW), axis=0)[-1].tolist():
                self._total += leaf

    def _close(self, block: torch.Tensor) -> None:
        self._add(_added(block, self._filled))
        self._filled = 0


def narrow(device: torch.device) -> torch.Tensor:
    """Return room for a block in float32."""
    return torch.empty(BLOCK, dtype=torch.float32, device=device)


def wide(device: torch.device) -> torch.Tensor:
    """Return room for a block in float64."""
    return torch.empty(BLOCK, dtype=torch.float64, device=device)


def _added(block: torch.Tensor, count: int) -> npt.NDArray[np.float64]:
    """Return the sum of the rows of the first `count` values. Overwrites what comes after these."""
    size = -(-count // _WIDE) * _WIDE
    if size > count:
        block[count:size] = 0.0
    rows = block[:size].view(-1, _WIDE)
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


class CountState(Structure):
    """What C counts."""

    _fields_ = (("count", c_int64),)


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

    def lend(self) -> CountState:
        """Return the state for tiles that C takes in."""
        return CountState()

    def take_back(self, state: CountState) -> None:
        """Take over the state after the last tile."""
        self._count += state.count


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


def gathered(*statistics: float) -> npt.NDArray[np.float64]:
    """Return numbers side by side."""
    return np.array(statistics)


def count_nonfinite(x: torch.Tensor) -> int:
    """Count the NaN and infinite elements.

    Their patterns are the largest of those without a sign, and of those with one. Two maxima, which show that there are
    none, take a tenth of the time of a sum.
    """
    if x.is_cpu and x.numel() and not _reaches_infinity(x):
        return 0
    return int(torch.count_nonzero(~torch.isfinite(x)))


def _reaches_infinity(x: torch.Tensor) -> bool:
    """Tell whether an element is NaN or infinite, by the patterns of all."""
    integer = _INTEGERS[x.dtype.itemsize]
    infinite = torch.tensor([math.inf, -math.inf], dtype=x.dtype).view(integer).numpy()
    patterns = x.view(integer).numpy()
    unsigned = f"u{infinite.dtype.name}"
    return bool(patterns.max() >= infinite[0] or patterns.view(unsigned).max() >= infinite.view(unsigned)[1])
