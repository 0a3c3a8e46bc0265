"""The vectors of a tensor: its rows lie along the last axis, its columns along the first.

A statistic is one number, or an `array` with one for every row or column.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

from mergegraph.dtypes import FLOAT64
from mergegraph.ir.types import TensorType

Axis: TypeAlias = Literal["rows", "columns"]
Numbers: TypeAlias = "float | array[float]"


def one_per_row(types: Sequence[TensorType]) -> TensorType:
    """Return the type of a list with a number for every row of a tensor."""
    shape = types[0].shape
    return TensorType(FLOAT64, (types[0].count // max(1, shape[-1]),))


def column_count(type: TensorType) -> int:
    """Return how many vectors along the first axis a tensor has."""
    return type.count // max(1, type.shape[0])


def per_vector(function: Callable[..., tuple[float, ...]], results: int, *statistics: Numbers) -> tuple[Numbers, ...]:
    """Apply a function of numbers with so many results to numbers, or to those of every vector."""
    if isinstance(statistics[0], float):
        return function(*statistics)
    found = tuple(array("d") for _ in range(results))
    for numbers in zip(*statistics, strict=True):
        for target, number in zip(found, function(*numbers), strict=True):
            target.append(number)
    return found
