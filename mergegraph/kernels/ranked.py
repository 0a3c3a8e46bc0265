"""Mark elements at random, the larger ones of a row more often, without ranking any."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from mergegraph.kernels.bits import raw
from mergegraph.kernels.chance import Bounds
from mergegraph.kernels.counting import INFINITY
from mergegraph.kernels.random import RandomBits, below
from mergegraph.kernels.tile import Tile


class RankedMask:
    """Marks each element with 1 with a probability that grows by rank from `low` to `high` in its row, else with 0.

    An element is kept if its bits are, as a signed number, below `low · 2³² − 2³¹`, and dropped if they are not below
    `high · 2³² − 2³¹`. Between these they draw another element of the row, all as likely, and it is kept if that one
    comes before it by magnitude, of equal ones by index: as many of the m − 1 others do as its rank says.
    """

    def __init__(self, scalars: tuple[float, float, int]) -> None:
        low, high, key = scalars
        self._bounds = Bounds.of(low, high)
        self._bits = RandomBits(key)

    def update(self, tile: Tile, out: torch.Tensor, x: torch.Tensor) -> None:
        """Write the mask of the next rows of magnitudes, of two or more."""
        flat, patterns, length = out.view(-1), raw(x.view(-1)), x.shape[-1]
        for block, place, part in tile.blocks():
            bits = self._bits.draw(block, place, part.stop - part.start, x.device)
            kept, possible = below(bits, self._bounds.low), below(bits, self._bounds.high, place=1).raw
            possible ^= kept.raw
            undecided = _indices(possible)
            steps = self._steps(bits.take(undecided), length)
            index = undecided + part.start if part.start else undecided
            kept.raw[undecided] = _comes_after(patterns, index, steps, length)
            flat[part].copy_(kept.ones)

    def _steps(self, bits: Any, length: int) -> Any:
        """Turn bits between the bounds into numbers from 1 to m − 1."""
        factor, first = self._bounds.stepping(length)
        steps = bits.astype(np.int64) if isinstance(bits, np.ndarray) else bits.long()
        steps *= factor
        steps += first
        steps >>= 32
        return steps


def _indices(marks: Any) -> Any:
    return np.flatnonzero(marks) if isinstance(marks, np.ndarray) else torch.nonzero(marks).view(-1)


def _comes_after(patterns: Any, index: Any, steps: Any, length: int) -> Any:
    """Tell whether magnitudes come after others in order: those so many steps on in their rows, in circles.

    Of equal ones only what is past the end of the row, and so at its begin, comes before.
    """
    end = index // length
    end *= length
    end += length
    other = steps
    other += index
    around = other >= end
    other -= around * length
    here, there = (patterns.take(places).clip(max=INFINITY) for places in (index, other))
    there -= around.view(np.int8 if isinstance(around, np.ndarray) else torch.int8)
    return here > there
