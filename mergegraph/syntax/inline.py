"""Write parts of the Syntax on one line, with the fewest parentheses."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from mergegraph.syntax import nodes as s
from mergegraph.syntax.strings import quote
from mergegraph.syntax.trivia import NO_TRIVIA, Trivia

Element: TypeAlias = s.Expression | s.Argument | s.Case | s.Parameter
"""What stands between the commas of a pair of brackets."""

COMPARISON, SUM, PRODUCT, SIGN, ATOM = range(5)
"""How tightly expressions bind, the loosest first."""


def inline(element: Element, trivia: Trivia = NO_TRIVIA) -> str:
    """Return an expression, or an element of a pair of brackets, on one line."""
    match element:
        case s.Argument() | s.Case() | s.Parameter():
            lead, value = element_parts(element)
            return lead + inline(value, trivia) if value else lead
        case s.Name(name):
            return name
        case s.Number():
            return element.text
        case s.String(value):
            return quote(value)
        case s.Constant(value):
            return "none" if value is None else str(value).lower()
        case s.List(items):
            return f"[{inline_all(items, trivia)}]"
        case s.Call(function, arguments):
            return f"{function.name}({inline_all(arguments, trivia)})"
        case s.Negative(value):
            return f"-{_operand(value, SIGN, trivia)}"
        case s.Binary():
            left, right = operand_bounds(element)
            return f"{_operand(element.left, left, trivia)} {element.operator} {_operand(element.right, right, trivia)}"
        case s.Select(cases):
            return f"select {{ {inline_all(cases, trivia)} }}" if cases else "select {}"
        case s.LayerRange(model):
            return _operand(model, ATOM, trivia) + layers_suffix(element)


def inline_all(elements: Iterable[Element], trivia: Trivia = NO_TRIVIA) -> str:
    """Return elements on one line, with commas between them."""
    return ", ".join(inline(element, trivia) for element in elements)


def element_parts(element: Element) -> tuple[str, s.Expression | None]:
    """Return what stands before the value of an element, and the value."""
    match element:
        case s.Argument(name, value):
            return (f"{name.name}=" if name else ""), value
        case s.Case(pattern, value):
            return f"{quote(pattern.value) if pattern else '_'}{'?' if element.optional else ''}: ", value
        case s.Parameter(name, None, variadic):
            return f"{'*' if variadic else ''}{name.name}", None
        case s.Parameter(name, default):
            return f"{name.name}=", default
        case _:
            return "", element


def layers_suffix(layers: s.LayerRange) -> str:
    """Return what follows the model of a range of layers."""
    stack = f"({quote(layers.stack.value)})" if layers.stack else ""
    return f".layers{stack}[{layers.start.text}..{layers.stop.text}]"


def precedence(expression: s.Expression) -> int:
    """Return how tightly the parts of an expression are bound."""
    match expression:
        case s.Binary(operator="+" | "-"):
            return SUM
        case s.Binary(operator="*" | "/"):
            return PRODUCT
        case s.Binary():
            return COMPARISON
        case s.Negative():
            return SIGN
        case _:
            return ATOM


def operand_bounds(binary: s.Binary) -> tuple[int, int]:
    """Return how tightly the left and the right operand must be bound to need no parentheses."""
    own = precedence(binary)
    return (own + 1 if own == COMPARISON else own), own + 1


def in_parentheses(operand: s.Expression, bound: int, trivia: Trivia) -> bool:
    """Tell whether an operand needs parentheses, or has them to make plain what belongs together."""
    return precedence(operand) < bound or (precedence(operand) < ATOM and operand.span in trivia.parenthesized)


def chain(binary: s.Binary, trivia: Trivia) -> tuple[s.Expression, list[tuple[str, s.Expression]]]:
    """Return the first operand of operators that bind alike, and each further one with its operator."""
    rest = [(str(binary.operator), binary.right)]
    first, bound = binary.left, operand_bounds(binary)[0]
    while (
        isinstance(first, s.Binary)
        and precedence(first) == precedence(binary)
        and not in_parentheses(first, bound, trivia)
    ):
        rest.append((first.operator, first.right))
        first = first.left
    return first, rest[::-1]


def _operand(operand: s.Expression, bound: int, trivia: Trivia) -> str:
    text = inline(operand, trivia)
    return f"({text})" if in_parentheses(operand, bound, trivia) else text
