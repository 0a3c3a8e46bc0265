"""Add up the rows of a block in the order that every sum is taken in."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

LEAVES = 1024
"""The values that the rows of a block are added up to."""

_NARROW = 16


def add_leaves(total: float, row: npt.NDArray[np.float64]) -> float:
    """Return a total with the `LEAVES` sums of a block: added up as rows of 16, which are added to it in order."""
    # Running sums are taken in order; a plain sum of narrow rows may go by pairs.
    with np.errstate(over="ignore", invalid="ignore"):
        for leaf in np.add.accumulate(row.reshape(-1, _NARROW), axis=0)[-1].tolist():
            total += leaf
    return total
