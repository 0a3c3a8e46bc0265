"""Values that expressions have while a recipe is resolved."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeAlias

from mergegraph.ir.node import Node
from mergegraph.ir.types import Type
from mergegraph.recipe.recipe import Template
from mergegraph.recipe.tokens import TokenRow, Vocabulary


@dataclass(frozen=True, slots=True)
class Weighted:
    """`0.6*a + 0.4*b`: models times numbers. It is their mean if the numbers sum to 1, an error otherwise."""

    terms: tuple[tuple[Node, float], ...]

    @property
    def total(self) -> float:
        """The sum of the numbers."""
        return sum(weight for _, weight in self.terms)


@dataclass(frozen=True, slots=True)
class Failed:
    """Stands for a value whose error has been reported, so that no other error follows from it."""


FAILED = Failed()

Value: TypeAlias = (
    "Node | float | bool | str | Weighted | Vocabulary | TokenRow | Template | Failed | tuple[Value, ...] | None"
)


def failed(value: Any) -> bool:
    """Tell whether a value, or a part of it, could not be resolved."""
    return isinstance(value, Failed) or (isinstance(value, tuple) and any(failed(v) for v in value))


def leaves(value: Value) -> int:
    """Return the number of elements of a list, those of lists in it counted one by one; 1 of anything else."""
    return sum(map(leaves, value)) if isinstance(value, tuple) else 1


def kind(value: Value) -> str:
    """Return the type of a value as people call it."""
    match value:
        case Node():
            return str(value.type)
        case bool():
            return "Bool"
        case float():
            return "Number"
        case str():
            return "String"
        case None:
            return "none"
        case Weighted():
            return "Model"
        case Vocabulary():
            return "Vocabulary"
        case TokenRow():
            return "token"
        case tuple():
            return f"list of {kind(value[0])}" if value else "empty list"
        case _:
            return "unknown"


def is_numeral(text: str) -> bool:
    """Tell whether a text is a number in quotes."""
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def with_article(noun: str) -> str:
    """Return a noun with its article."""
    return f"{'an' if noun[:1] in 'aeiouA' else 'a'} {noun}"


def interpolated(value: Value) -> str | None:
    """Return a value as it appears in a path, None if it can't."""
    match value:
        case bool():
            return None
        case float():
            return f"{value:.15g}"
        case str():
            return value
        case Node(type=Type.NUMBER):
            return None
        case _:
            return None
