"""The vectors of a tensor: its rows lie along the last axis, its columns along the first.

A statistic is one number, or an `array` with one for every row or column.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import Literal, TypeAlias

from mergegraph.ir.types import TensorType

Axis: TypeAlias = Literal["rows", "columns"]
Numbers: TypeAlias = "float | array[float]"


def row_count(type: TensorType) -> int:
    """Return how many vectors along the last axis a tensor has."""
    return type.count // max(1, type.shape[-1])


def column_count(type: TensorType) -> int:
    """Return how many vectors along the first axis a tensor has."""
    return type.count // max(1, type.shape[0])


def per_vector(function: Callable[..., tuple[float, ...]], results: int, *statistics: Numbers) -> tuple[Numbers, ...]:
    """Apply a function of numbers with so many results to numbers, or to those of every vector."""
    if isinstance(statistics[0], float):
        return function(*statistics)
    found = tuple(array("d", bytes(8 * len(statistics[0]))) for _ in range(results))
    for i, numbers in enumerate(zip(*statistics, strict=True)):
        for target, number in zip(found, function(*numbers), strict=True):
            target[i] = number
    return found
