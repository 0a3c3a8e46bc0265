"""Lay expressions out on as few lines as their width, their comments and their writer allow."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mergegraph.diagnostics import Span
from mergegraph.syntax import nodes as s
from mergegraph.syntax.comments import arrange, commented
from mergegraph.syntax.inline import (
    ATOM,
    SIGN,
    Element,
    chain,
    element_parts,
    in_parentheses,
    inline,
    layers_suffix,
    operand_bounds,
)
from mergegraph.syntax.trivia import Trivia

WIDTH = 120
"""The longest line, in characters, but for comments and for what can't be broken."""

INDENT = "    "


def layout(element: Element, trivia: Trivia, indent: int, lead: str = "", tail: str = "") -> list[str]:
    """Return the lines of an element between `lead` and `tail`, with `indent` columns to its left."""
    before, value = element_parts(element)
    lead += before
    if value is None:
        return [lead + tail]
    line = lead + inline(value, trivia) + tail
    if fits(line, indent) and not held(value, trivia):
        return [line]
    match value:
        case s.Call(function, arguments):
            return brackets(value.span, arguments, trivia, indent, f"{lead}{function.name}(", f"){tail}")
        case s.List(items):
            return brackets(value.span, items, trivia, indent, f"{lead}[", f"]{tail}")
        case s.Select(cases):
            return brackets(value.span, cases, trivia, indent, f"{lead}select {{", f"}}{tail}")
        case s.Negative(inner):
            return _operand(inner, SIGN, trivia, indent, f"{lead}-", tail)
        case s.LayerRange(model):
            return _operand(model, ATOM, trivia, indent, lead, layers_suffix(value) + tail)
        case s.Binary():
            return _chain(value, trivia, indent, lead, tail)
        case _:
            return [line]


def brackets(
    owner: Span, elements: Sequence[Element], trivia: Trivia, indent: int, opener: str, closer: str
) -> list[str]:
    """Return the lines of a pair of brackets, broken: one element to a line."""
    span = trivia.brackets.get(owner, owner)
    beside, below = arrange(elements, span.start + 1, span.end - 1, trivia)
    if not elements and not below:
        return [opener + closer]
    inner: list[str] = []
    for element, at in zip(elements, beside, strict=True):
        inner += [*at.above, *followed(layout(element, trivia, indent + len(INDENT), tail=","), at.after)]
    return [opener, *indented((*inner, *below)), closer]


def held(element: Element, trivia: Trivia) -> bool:
    """Tell whether comments or the writer keep an element from standing on one line."""
    return trivia.holds_open(element.span) or commented(element, trivia)


def fits(line: str, indent: int) -> bool:
    """Tell whether a line is short enough."""
    return indent + len(line) <= WIDTH


def indented(lines: Iterable[str]) -> list[str]:
    """Return lines one step to the right, blank ones as they are."""
    return [INDENT + line if line else line for line in lines]


def followed(lines: list[str], text: str) -> list[str]:
    """Return lines with a text after the last."""
    return [*lines[:-1], lines[-1] + text]


def _operand(operand: s.Expression, bound: int, trivia: Trivia, indent: int, lead: str, tail: str) -> list[str]:
    if not in_parentheses(operand, bound, trivia):
        return layout(operand, trivia, indent, lead, tail)
    line = f"{lead}({inline(operand, trivia)}){tail}"
    if fits(line, indent) and not held(operand, trivia):
        return [line]
    return [f"{lead}(", *indented(layout(operand, trivia, indent + len(INDENT))), f"){tail}"]


def _chain(binary: s.Binary, trivia: Trivia, indent: int, lead: str, tail: str) -> list[str]:
    """Return the lines of operands, each but the first behind its operator and, where text leads them, indented."""
    first, rest = chain(binary, trivia)
    operands = [first, *(operand for _, operand in rest)]
    leads = [lead, *(f"{operator} " for operator, _ in rest)]
    bounds = [operand_bounds(binary)[0], *(operand_bounds(binary)[1] for _ in rest)]
    tails = [*("" for _ in rest), tail]
    beside, _ = arrange(operands, first.span.start, operands[-1].span.end, trivia)
    margin = len(INDENT) if lead else 0
    lines: list[str] = []
    for i, at in enumerate(beside):
        right = margin if i else 0
        own = _operand(operands[i], bounds[i], trivia, indent + right, leads[i], tails[i])
        above = filter(None, at.above) if i else ()
        lines += [" " * right + line if line else line for line in (*above, *followed(own, at.after))]
    return lines
