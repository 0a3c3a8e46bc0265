"""What a survey finds."""

from __future__ import annotations

from dataclasses import dataclass

BINS = 16
"""Bars of a histogram."""


@dataclass(frozen=True, slots=True)
class TensorStatistics:
    """Figures of one tensor: of its finite elements, those that are NaN or infinite counted apart.

    `zeros` is the share of zeros among all. The bars of `histogram` are of equal width, from `smallest` to `largest`.
    """

    mean: float
    std: float
    smallest: float
    largest: float
    norm: float
    zeros: float
    nonfinite: int
    histogram: tuple[int, ...]
