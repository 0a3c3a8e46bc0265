"""Rewrite rules as data: a pattern of operations, and what stands in its place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from mergegraph.ir.graph import const, const_value
from mergegraph.ir.node import Attribute, Node
from mergegraph.ops import OPS

Matches: TypeAlias = dict["Variable", Node]


@dataclass(frozen=True, slots=True)
class Variable:
    """Matches any node, and the same node wherever it stands again in a pattern."""

    name: str


@dataclass(frozen=True, slots=True)
class Pattern:
    """Matches an operation whose inputs match; a number matches that constant."""

    op: str
    inputs: tuple[Pattern | Variable | float, ...]
    attributes: tuple[tuple[str, Attribute], ...]

    def __rshift__(self, result: Variable | float) -> Rule:
        """Make a rule: where this matches, `result` stands in its place."""
        return Rule(self, result)

    def __getitem__(self, condition: Callable[[Node, Matches], bool]) -> Guarded:
        """Demand a condition of the node and of what the variables match."""
        return Guarded(self, condition)


@dataclass(frozen=True, slots=True)
class Guarded:
    """A pattern with a condition."""

    pattern: Pattern
    condition: Callable[[Node, Matches], bool]

    def __rshift__(self, result: Variable | float) -> Rule:
        """Make a rule of it."""
        return Rule(self.pattern, result, self.condition)


@dataclass(frozen=True, slots=True)
class Rule:
    """Replaces what matches `pattern`."""

    pattern: Pattern
    result: Variable | float
    condition: Callable[[Node, Matches], bool] | None = None

    def apply(self, node: Node) -> Node | None:
        """Return what stands in the place of `node`, None where the rule does not fit."""
        found: Matches = {}
        if not _matches(self.pattern, node, found):
            return None
        if self.condition is not None and not self.condition(node, found):
            return None
        return found[self.result] if isinstance(self.result, Variable) else const(self.result)


def pattern(op: str, *inputs: Pattern | Variable | float, **attributes: Attribute) -> Pattern:
    """Return the pattern of an operation; KeyError if there is none of that name."""
    OPS[op]
    return Pattern(op, inputs, tuple(sorted(attributes.items())))


def apply_first(rules: tuple[Rule, ...], node: Node) -> Node:
    """Return `node` rewritten by rules until none fits. RuntimeError if they never stop fitting."""
    for _ in range(100):
        replaced = next((r for r in (rule.apply(node) for rule in rules) if r is not None), None)
        if replaced is None:
            return node
        node = replaced
    raise RuntimeError(f"the rewrite rules do not converge on {node.op}")


def _matches(expected: Pattern | Variable | float, node: Node, found: Matches) -> bool:
    if isinstance(expected, Variable):
        return found.setdefault(expected, node) is node
    if isinstance(expected, float):
        return const_value(node) == expected
    if node.op != expected.op or len(node.inputs) != len(expected.inputs):
        return False
    if any(node.attribute(name) != value for name, value in expected.attributes):
        return False
    return all(_matches(e, child, found) for e, child in zip(expected.inputs, node.inputs, strict=True))
