"""Print the Syntax: an indented tree, and plain data for JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any, TypeAlias

from mergegraph.diagnostics import escape
from mergegraph.syntax import nodes as s
from mergegraph.syntax.strings import quote

Node: TypeAlias = s.Recipe | s.Statement | s.Expression | s.Argument | s.Case | s.Parameter


def print_syntax(recipe: s.Recipe) -> str:
    """Return the tree of a recipe: a line for each node, with what it is and where, its parts indented below it."""
    return "".join(f"{line}\n" for line in _lines(recipe, 0))


def syntax_json(recipe: s.Recipe) -> dict[str, Any]:
    """Return a recipe as plain data: each node a dict of its `kind`, its `line` and `column`, and its fields."""
    return {"source": recipe.span.source.name, **_plain(recipe)}


def _lines(node: Node, depth: int) -> Iterator[str]:
    line, column = node.span.source.place(node.span.start)
    yield f"{'  ' * depth}{_head(node)}  @{line}:{column}"
    for part in _parts(node):
        yield from _lines(part, depth + 1)


def _head(node: Node) -> str:
    match node:
        case s.Recipe(_, span):
            return f"recipe {escape(span.source.name)}"
        case s.Binding(name):
            return f"binding {name.name}"
        case s.Function(name):
            return f"fn {name.name}"
        case s.Parameter(name, _, variadic):
            return f"parameter {'*' if variadic else ''}{name.name}"
        case s.Save(_, path):
            return f"save to {quote(path.value)}"
        case s.For(name):
            return f"for {name.name}"
        case s.Seed(number):
            return f"seed {number.text}"
        case s.Import(path):
            return f"import {quote(path.value)}"
        case s.Argument(name):
            return f"argument {name.name if name else ''}".rstrip()
        case s.Case(pattern):
            return f"case {quote(pattern.value) if pattern else '_'}{'?' if node.optional else ''}"
        case s.Name(name):
            return f"name {name}"
        case s.Number():
            return f"number {node.text}"
        case s.String(value):
            return f"string {quote(value)}"
        case s.Constant(value):
            return f"constant {'none' if value is None else str(value).lower()}"
        case s.Call(function):
            return f"call {function.name}"
        case s.Binary(operator):
            return f"binary {operator}"
        case s.LayerRange(_, stack, start, stop):
            return f"layers {f'{quote(stack.value)} ' if stack else ''}{start.text}..{stop.text}"
        case s.List():
            return "list"
        case s.Select():
            return "select"
        case s.Negative():
            return "negative"


def _parts(node: Node) -> tuple[Node, ...]:
    match node:
        case s.Recipe(statements):
            return statements
        case s.Function(_, parameters, body):
            return (*parameters, body)
        case s.Save(value, _, options):
            return (value, *options)
        case s.For(_, values, body):
            return values, body
        case s.Call(_, arguments):
            return tuple(argument if argument.name else argument.value for argument in arguments)
        case s.List(items):
            return items
        case s.Select(cases):
            return cases
        case s.Binary(_, left, right):
            return left, right
        case s.Parameter(_, default):
            return (default,) if default else ()
        case s.Binding(_, value) | s.Argument(_, value) | s.Case(_, value) | s.Negative(value) | s.LayerRange(value):
            return (value,)
        case _:
            return ()


def _plain(part: Any) -> Any:
    if isinstance(part, tuple):
        return [_plain(item) for item in part]
    if not hasattr(part, "span"):
        return part
    line, column = part.span.source.place(part.span.start)
    own = {field.name: _plain(getattr(part, field.name)) for field in fields(part) if field.name != "span"}
    return {"kind": _kind(part), "line": line, "column": column, **own}


def _kind(node: Any) -> str:
    return "layers" if isinstance(node, s.LayerRange) else type(node).__name__.lower()
