"""Keep masks from one pass to the next, a bit per element."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from mergegraph.kernels.tile import Tile

Bits: TypeAlias = npt.NDArray[np.uint8]


class PackedMask:
    """Keeps a mask of `size` elements."""

    def __init__(self, scalars: tuple[()], size: int) -> None:
        self._bits: Bits = np.zeros(-(-size // 8), dtype=np.uint8)

    def update(self, tile: Tile, mask: torch.Tensor) -> None:
        """Take in the next tile."""
        first, within = divmod(tile.start, 8)
        marked = mask.view(-1).cpu().numpy().astype(np.bool_)
        # Tiles may meet within a byte.
        packed = np.packbits(np.concatenate([np.zeros(within, np.bool_), marked]) if within else marked)
        self._bits[first : first + packed.size] |= packed

    def result(self) -> Bits:
        """Return the bits, eight elements to a byte."""
        return self._bits


class UnpackedMask:
    """Gives back a mask."""

    def __init__(self, scalars: tuple[Bits]) -> None:
        (self._bits,) = scalars

    def update(self, tile: Tile, out: torch.Tensor) -> None:
        """Write the next tile."""
        first, within = divmod(tile.start, 8)
        last = -(-(tile.start + tile.count) // 8)
        marked = np.unpackbits(self._bits[first:last])[within : within + tile.count]
        out.view(-1).copy_(torch.from_numpy(marked))
