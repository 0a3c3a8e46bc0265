"""Types: of values in a recipe, and of tensors in a graph."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

from mergegraph.dtypes import Dtype


class Type(Enum):
    """What a value of a recipe is. Lists are tuples of such values and have no type of their own."""

    MODEL = "Model"
    DELTA = "Delta"
    MASK = "Mask"
    STAT = "Stat"
    FIELD = "Field"
    LAYERS = "Layers"
    ADAPTER = "Adapter"
    NUMBER = "Number"
    STRING = "String"
    BOOL = "Bool"
    NONE = "none"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class TensorType:
    """The element type and shape of a tensor; shape `()` with float64 is a scalar that a reduction yields."""

    dtype: Dtype
    shape: tuple[int, ...]

    @property
    def count(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """The size in bytes."""
        return self.dtype.nbytes(self.count)

    def __str__(self) -> str:
        return f"{self.dtype}[{', '.join(map(str, self.shape))}]"
