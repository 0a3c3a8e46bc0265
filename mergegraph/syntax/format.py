"""Lay a recipe out in the one way: `mergegraph fmt`.

What fits stays on one line. What doesn't is broken at its outermost brackets, one element to a line, each followed by a
comma; sums and products are broken before their operators. A comma after a last element, and the body of a `fn` or a
`for` on a line of its own, stay as they were written.
"""

from __future__ import annotations

from collections.abc import Iterator

from mergegraph.diagnostics import Span
from mergegraph.syntax import nodes as s
from mergegraph.syntax.comments import arrange
from mergegraph.syntax.inline import inline_all
from mergegraph.syntax.layout import INDENT, brackets, fits, followed, held, indented, layout
from mergegraph.syntax.parse import parse_with_trivia
from mergegraph.syntax.strings import quote
from mergegraph.syntax.trivia import NO_TRIVIA, Trivia


def format_text(text: str, name: str) -> str:
    """Return the text of a recipe laid out. MergeGraphError if it can't be parsed."""
    return format_recipe(*parse_with_trivia(text, name))


def format_recipe(recipe: s.Recipe, trivia: Trivia = NO_TRIVIA) -> str:
    """Return the text of a recipe: with the comments and groups of lines of the text it was parsed from, if it was."""
    lines = _unwritten(recipe) if trivia.source is None else _written(recipe, trivia)
    return "".join(f"{line}\n" for line in lines)


def _written(recipe: s.Recipe, trivia: Trivia) -> Iterator[str]:
    beside, below = arrange(recipe.statements, 0, recipe.span.end, trivia)
    for statement, at in zip(recipe.statements, beside, strict=True):
        yield from at.above
        yield from followed(_statement(statement, trivia), at.after)
    yield from below


def _unwritten(recipe: s.Recipe) -> Iterator[str]:
    before: s.Statement | None = None
    for statement in recipe.statements:
        if before and (type(before) is not type(statement) or isinstance(statement, s.Function)):
            yield ""
        if isinstance(statement, s.Function) and statement.comment:
            yield from (f"# {line}".rstrip() for line in statement.comment.split("\n"))
        yield from _statement(statement, NO_TRIVIA)
        before = statement


def _statement(statement: s.Statement, trivia: Trivia) -> list[str]:
    match statement:
        case s.Binding(name, value):
            return _binding(name, value, trivia)
        case s.Function():
            return _function(statement, trivia)
        case s.Save():
            return _save(statement, trivia, 0)
        case s.For():
            return _sweep(statement, trivia)
        case s.Seed(number):
            return [f"seed {number.text}"]
        case s.Import(path):
            return [f"import {quote(path.value)}"]


def _binding(name: s.Name, value: s.Expression, trivia: Trivia) -> list[str]:
    lines = layout(value, trivia, 0, f"{name.name} = ")
    if len(lines) == 1 or not isinstance(value, s.Binary):
        return lines
    return [f"{name.name} =", *indented(layout(value, trivia, len(INDENT)))]


def _function(function: s.Function, trivia: Trivia) -> list[str]:
    body, span = function.body, trivia.brackets.get(function.span, function.span)
    head = _head(function, span, trivia)
    (beside,), _ = arrange([body], span.end, function.span.end, trivia)
    line = layout(body, trivia, 0, f"{head[-1]} ")
    if len(head) == len(line) == 1 and not beside.above and not _apart(span.end, body, trivia):
        return line
    return [*head, *indented((*beside.above, *layout(body, trivia, len(INDENT))))]


def _head(function: s.Function, span: Span, trivia: Trivia) -> list[str]:
    line = f"fn {function.name.name}({inline_all(function.parameters, trivia)}) ="
    if fits(line, 0) and not trivia.holds_open(span) and not trivia.comments_in(span.start, span.end):
        return [line]
    return brackets(function.span, function.parameters, trivia, 0, f"fn {function.name.name}(", ") =")


def _sweep(sweep: s.For, trivia: Trivia) -> list[str]:
    head = layout(sweep.values, trivia, 0, f"for {sweep.name.name} in ", ":")
    (beside,), _ = arrange([sweep.body], sweep.values.span.end, sweep.span.end, trivia)
    body = _save(sweep.body, trivia, len(INDENT))
    line = f"{head[0]} {body[0]}"
    apart = beside.above or _apart(sweep.values.span.end, sweep.body, trivia)
    if len(head) == len(body) == 1 and fits(line, 0) and not apart:
        return [line]
    return [*head, *indented((*beside.above, *body))]


def _apart(end: int, body: s.Expression | s.Save, trivia: Trivia) -> bool:
    """Tell whether a body was written on a line of its own."""
    return "\n" in trivia.written(end, body.span.start)


def _save(save: s.Save, trivia: Trivia, indent: int) -> list[str]:
    value = layout(save.value, trivia, indent, "save ")
    step = indent + len(INDENT)
    *beginning, last = value
    joins = len(value) == 1 or last[0] in ")]}"
    line = _target(save, trivia)
    if line and joins and fits(f"{last} {line}", indent):
        return [*beginning, f"{last} {line}"]
    if line and (fits(line, step) or not save.options):
        return [*value, INDENT + line]
    head = f"to {quote(save.path.value)} with"
    if joins and fits(f"{last} {head}", indent):
        return [*beginning, f"{last} {head}", *indented(_options(save, trivia, step))]
    return [*value, *indented((head, *indented(_options(save, trivia, step + len(INDENT)))))]


def _target(save: s.Save, trivia: Trivia) -> str | None:
    """Return what follows the value of a `save` on one line, if nothing keeps it from that."""
    path = f"to {quote(save.path.value)}"
    if not save.options:
        return path
    commented = trivia.comments_in(save.path.span.end, save.span.end)
    if commented or any(held(option, trivia) for option in save.options):
        return None
    return f"{path} with {inline_all(save.options, trivia)}"


def _options(save: s.Save, trivia: Trivia, indent: int) -> Iterator[str]:
    beside, _ = arrange(save.options, save.path.span.end, save.span.end, trivia)
    for option, at in zip(save.options, beside, strict=True):
        tail = "," if option is not save.options[-1] else ""
        yield from at.above
        yield from followed(layout(option, trivia, indent, tail=tail), at.after)
