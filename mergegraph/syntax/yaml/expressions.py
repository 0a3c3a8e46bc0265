"""Parse the expressions that stand in the strings of a YAML text, their places in the YAML."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any

from mergegraph.diagnostics import MergeGraphError, Source, Span
from mergegraph.syntax import nodes as s
from mergegraph.syntax.parse import parse
from mergegraph.syntax.yaml.notes import Notes
from mergegraph.syntax.yaml.tree import Scalar, head


def expression(scalar: Scalar, notes: Notes) -> s.Expression | None:
    """Return the expression in a string; None, with its mistakes noted, if there is none."""
    statement = _statement(("value = ", scalar), notes)
    return statement.value if isinstance(statement, s.Binding) else None


def function(signature: Scalar, body: Scalar, notes: Notes) -> s.Function | None:
    """Return a function of the form `name(parameters)` and its body; None, with the mistakes noted, if it is none."""
    statement = _statement(("fn ", signature, " = ", body), notes)
    return statement if isinstance(statement, s.Function) else None


def _statement(pieces: Sequence[str | Scalar], notes: Notes) -> s.Statement | None:
    """Return the one statement that the pieces make, every span of it one of the YAML text."""
    scalars = [piece for piece in pieces if isinstance(piece, Scalar)]
    source = scalars[0].span.source
    text = "".join(piece.text if isinstance(piece, Scalar) else piece for piece in pieces)
    offsets = _offsets(pieces)

    def moved(span: Span) -> Span:
        return Span(source, offsets[span.start], max(offsets[span.start], offsets[span.end - 1] + 1))

    try:
        statements = parse(text, source.name).statements
    except MergeGraphError as error:
        notes.errors += [_moved(diagnostic, moved) for diagnostic in error.diagnostics]
        return None
    if len(statements) == 1:
        statement: s.Statement = _moved(statements[0], moved)
        return statement
    help = ("give each part a name of its own below `let`",)
    found = f"it is {len(statements)} statements"
    notes.error("MG170", "this must be one expression", head(scalars[-1].span), found, help=help)
    return None


def _moved(part: Any, moved: Callable[[Span], Span]) -> Any:
    """Return a node or a diagnostic with all its spans moved."""
    if isinstance(part, Span):
        return moved(part)
    if isinstance(part, tuple):
        return tuple(_moved(item, moved) for item in part)
    if is_dataclass(part) and not isinstance(part, (type, Source)):
        return replace(part, **{f.name: _moved(getattr(part, f.name), moved) for f in fields(part)})
    return part


def _offsets(pieces: Sequence[str | Scalar]) -> list[int]:
    """Return where in the YAML text each character of the joined pieces stands, and the end of the last."""
    found: list[int] = []
    for i, piece in enumerate(pieces):
        if isinstance(piece, Scalar):
            found += _aligned(piece)
        else:
            following = pieces[i + 1]
            assert isinstance(following, Scalar)
            found += [following.span.start] * len(piece)
    return [*found, found[-1] + 1]


def _aligned(scalar: Scalar) -> list[int]:
    """Return where each character of a value stands in its text, which has quotes, escapes and line ends besides."""
    span, position = scalar.span, scalar.span.start
    found = []
    for character in scalar.text:
        at = span.source.text.find(character, position, span.end)
        if at < 0:
            break
        position = at + 1
        found.append(at)
    # What an escape stands for is not in the text; from there on the last place that was found has to do.
    return found + [max(span.start, position - 1)] * (len(scalar.text) - len(found))
