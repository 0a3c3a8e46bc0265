"""The algebra of values: what adding, subtracting and scaling models and deltas yields."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mergegraph.ir.node import Node
from mergegraph.ir.types import Type

NUMERIC = frozenset({Type.NUMBER, Type.FIELD, Type.STAT})
_RANK = (Type.NUMBER, Type.FIELD, Type.STAT, Type.MASK, Type.DELTA, Type.MODEL)


class OperandError(Exception):
    """Say why operands do not go together, and what to write instead."""

    def __init__(self, message: str, *help: str) -> None:
        super().__init__(message)
        self.message = message
        self.help = help


def same_type(inputs: Sequence[Node]) -> Type:
    """Return the richest type among the operands: numbers give way to masks, deltas and models."""
    return max(_types(inputs), key=_RANK.index)


def sum_type(inputs: Sequence[Node]) -> Type:
    """Type `x + y`."""
    left, right = _types(inputs)
    if left is right is Type.MODEL:
        raise OperandError(
            "two models can't be added",
            "for their average write `mean(a, b)`",
            "for a plus what b adds to a base write `a + (b - base)`",
        )
    _no_number_with_point("added to", left, right)
    return same_type(inputs)


def difference_type(inputs: Sequence[Node]) -> Type:
    """Type `x - y`."""
    left, right = _types(inputs)
    if left is right is Type.MODEL:
        return Type.DELTA
    if left is Type.DELTA and right is Type.MODEL:
        raise OperandError("a model can't be subtracted from a delta", "a delta is the difference of two models")
    _no_number_with_point("subtracted from", left, right)
    return same_type(inputs)


def product_type(inputs: Sequence[Node]) -> Type:
    """Type `x * y`."""
    left, right = _types(inputs)
    if Type.MODEL in (left, right):
        raise OperandError(
            f"a {left} can't be multiplied by a {right}",
            "scale a difference: `base + 0.5 * (a - base)`; or all weights: `scale(a, 0.5)`",
        )
    return same_type(inputs)


def quotient_type(inputs: Sequence[Node]) -> Type:
    """Type `x / y`."""
    left, right = _types(inputs)
    if Type.MODEL in (left, right):
        raise OperandError(f"a {left} can't be divided by a {right}", "scale a difference: `(a - base) / 2`")
    return same_type(inputs)


def comparison_type(inputs: Sequence[Node]) -> Type:
    """Type a comparison."""
    left, right = _types(inputs)
    if left in NUMERIC and right in NUMERIC:
        return same_type(inputs)
    return Type.MASK


def choice_type(inputs: Sequence[Node]) -> Type:
    """Type `where(mask, x, y)`: both must be of one type, or one of them a number."""
    left, right = _types(inputs[1:])
    if left is not right and not {left, right} & NUMERIC:
        raise OperandError(f"`where` can't choose between a {left} and a {right}", "give two values of one type")
    return same_type(inputs[1:])


def points_type(inputs: Sequence[Node]) -> tuple[Type, int]:
    """Return the type of a group of models or of deltas, the richest among them, and how many there are."""
    found = [type for type in _types(inputs) if type in (Type.MODEL, Type.DELTA)]
    return max(found, key=_RANK.index), len(found)


def at_least_two(returns: str) -> Callable[[Sequence[Node]], Type]:
    """Return the typing of an operation on a group that makes no sense of one alone."""

    def typing(inputs: Sequence[Node]) -> Type:
        if points_type(inputs)[1] < 2:
            raise OperandError("this compares models with each other, and there is only one", "give at least two")
        return Type(returns)

    return typing


def _no_number_with_point(verb: str, left: Type, right: Type) -> None:
    if (left in NUMERIC) != (right in NUMERIC) and Type.MASK not in (left, right):
        raise OperandError(f"a {right} can't be {verb} a {left}", "a number only scales: `0.5 * (a - base)`")


def _types(inputs: Sequence[Node]) -> list[Type]:
    return [node.type for node in inputs if isinstance(node.type, Type)]
