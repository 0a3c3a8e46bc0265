"""What a survey finds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from mergegraph.checkpoint.layers import Stack

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


@dataclass(frozen=True, slots=True)
class Difference:
    """How a tensor, or several, of a model differ from those of the reference: sums over so many `elements`.

    `reference`, `model` and `change` are squares of norms, `product` is the inner product of model and reference,
    `changed` counts the elements that are not equal.
    """

    elements: int = 0
    reference: float = 0.0
    model: float = 0.0
    product: float = 0.0
    change: float = 0.0
    changed: int = 0

    def __add__(self, other: Difference) -> Difference:
        """Return the difference of both together."""
        return Difference(
            self.elements + other.elements,
            self.reference + other.reference,
            self.model + other.model,
            self.product + other.product,
            self.change + other.change,
            self.changed + other.changed,
        )

    @property
    def relative(self) -> float:
        """The norm of the difference by that of the reference: `‖m − r‖ / ‖r‖`; 0 of what is equal."""
        return ratio(self.change, self.reference) ** 0.5 if self.change else 0.0

    @property
    def cosine(self) -> float:
        """The cosine between model and reference; NaN where one of them is zero."""
        return ratio(self.product, (self.model * self.reference) ** 0.5)

    @property
    def share(self) -> float:
        """The share of elements that are not equal."""
        return ratio(self.changed, self.elements)


@dataclass(frozen=True, slots=True)
class Conflict:
    """In how many of so many elements two models differ from the reference in opposite directions."""

    elements: int = 0
    opposed: int = 0

    def __add__(self, other: Conflict) -> Conflict:
        """Return both together."""
        return Conflict(self.elements + other.elements, self.opposed + other.opposed)

    @property
    def share(self) -> float:
        """The share of elements."""
        return ratio(self.opposed, self.elements)


@dataclass(frozen=True, slots=True)
class Compared:
    """A tensor of the reference: how each model that has one like it differs, by number.

    `inner` are the inner products of the differences of two models; `conflict` is of all of them.
    """

    name: str
    shape: tuple[int, ...]
    models: Mapping[int, Difference]
    inner: Mapping[tuple[int, int], float]
    conflict: Conflict | None


@dataclass(frozen=True, slots=True)
class Oddity:
    """Tensors of a model that can't be compared with the reference, or only in part, and why."""

    model: int
    reason: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """How models differ from a reference, tensor by tensor. The stacks are those of the reference."""

    reference: str
    models: tuple[str, ...]
    stacks: tuple[Stack, ...]
    tensors: tuple[Compared, ...]
    oddities: tuple[Oddity, ...]


def ratio(part: float, whole: float) -> float:
    """Return a quotient, NaN of zero by zero."""
    return part / whole if whole else math.nan if not part else math.inf
