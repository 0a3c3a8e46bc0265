"""Make parts of the Syntax that were never written in the recipe language."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mergegraph.diagnostics import Span
from mergegraph.syntax import nodes as s


def call(function: s.Name, positional: Iterable[s.Expression], named: Iterable[s.Argument] = ()) -> s.Call:
    """Return a call; it stands where its function was named."""
    values = (s.Argument(None, value, value.span) for value in positional)
    return s.Call(function, (*values, *named), function.span)


def argument(name: str, value: s.Expression, place: Span | None = None) -> s.Argument:
    """Return `name=value`; `place` is where the name was written, if it was."""
    return s.Argument(s.Name(name, place or value.span), value, value.span)


def whole(value: int, span: Span) -> s.Number:
    """Return a whole number."""
    return s.Number(float(value), str(value), span)


def layers(model: s.Expression, name: s.String | None, start: int, stop: int, span: Span) -> s.LayerRange:
    """Return `model.layers[start..stop]`, or `model.layers("name")[start..stop]`."""
    return s.LayerRange(model, name, whole(start, span), whole(stop, span), span)


def stack(parts: Sequence[s.Expression], rest: s.Expression, span: Span) -> s.Call:
    """Return `stack(parts, rest=rest)`."""
    return call(s.Name("stack", span), parts, [argument("rest", rest, span)])
