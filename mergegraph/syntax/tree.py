"""Walk the Syntax."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from mergegraph.diagnostics import Span


def walk(node: Any) -> Iterator[Any]:
    """Yield a part of the Syntax and all parts in it, outer ones first."""
    yield node
    for child in _children(node):
        yield from walk(child)


def path_to(node: Any, offset: int) -> list[Any]:
    """Return the parts of the Syntax around a place, the innermost last; a place just behind a word counts."""
    for child in _children(node):
        if child.span.start <= offset <= child.span.end:
            return [node, *path_to(child, offset)]
    return [node]


def _children(node: Any) -> Iterator[Any]:
    for field in fields(node):
        value = getattr(node, field.name)
        for item in value if isinstance(value, tuple) else (value,):
            if isinstance(getattr(item, "span", None), Span):
                yield item
