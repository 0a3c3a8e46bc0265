"""Keep the largest elements of a tensor."""

from __future__ import annotations

import numpy as np
import torch

from mergegraph.kernels.bits import library, magnitudes
from mergegraph.kernels.buffers import shared
from mergegraph.kernels.counting import MAGNITUDE, Limit, magnitude
from mergegraph.kernels.tile import BLOCK, Tile

_hardshrink = torch.ops.aten.hardshrink.out


class Threshold:
    """Keeps exactly the k elements of largest magnitude, of equal ones the first; the others become 0.0.

    A tile is one `hardshrink`, which keeps what is above a number: above the limit, or above the float before it where
    the elements at the limit are kept. Only a tile in which some of these are kept and some not is taken by element.
    """

    def __init__(self, scalars: tuple[Limit]) -> None:
        (self._limit,) = scalars
        self._left = self._limit.ties

    def update(self, tile: Tile, out: torch.Tensor, x: torch.Tensor) -> None:
        """Write the next tile of the result."""
        if self._limit.equal == 0:
            out.zero_()
            return
        tied = self._tied(x)
        if self._limit.nonfinite or tied > self._left:
            self._select(out, x)
        else:
            _keep_from(out, x, self._limit.bits + (self._left == 0))
            self._left -= tied

    def _tied(self, x: torch.Tensor) -> int:
        """Count the elements at the limit, as long as that matters."""
        if self._left == 0 or self._limit.ties == self._limit.equal:
            return 0
        if library(x) is not np or x.numel() > BLOCK:
            return int(torch.count_nonzero((x.view(torch.int32) & MAGNITUDE) == self._limit.bits))
        sizes, equal = (shared(kind, 0, x.device)[: x.numel()].numpy() for kind in (torch.float32, torch.bool))
        np.abs(x.view(-1).numpy(), out=sizes)
        return int(np.count_nonzero(np.equal(sizes, np.float32(self._limit.value), out=equal)))

    def _select(self, out: torch.Tensor, x: torch.Tensor) -> None:
        sizes = magnitudes(x)
        kept = sizes > self._limit.bits
        tied = torch.nonzero((sizes == self._limit.bits).view(-1))[: self._left]
        kept.view(-1)[tied] = True
        out.copy_(torch.where(kept, x, 0.0))
        self._left -= len(tied)


def _keep_from(out: torch.Tensor, x: torch.Tensor, bits: int) -> None:
    """Keep the elements whose magnitude has these bits or larger ones."""
    if bits == 0:
        out.copy_(x)
    else:
        _hardshrink(x, magnitude(bits - 1), out=out)
