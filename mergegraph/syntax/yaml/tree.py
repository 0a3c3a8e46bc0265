"""What a YAML text consists of, every part with its span."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from mergegraph.diagnostics import Span


@dataclass(frozen=True, slots=True, eq=False)
class Scalar:
    """One value. A `plain` one stands without quotes, and may be a number or `true`, `false` or `null`."""

    text: str
    plain: bool
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Items:
    """A list."""

    items: tuple[Tree, ...]
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """A key and its value."""

    key: Scalar
    value: Tree


@dataclass(frozen=True, slots=True, eq=False)
class Map:
    """A map in the order it was written; no key comes twice."""

    entries: tuple[Entry, ...]
    span: Span


Tree: TypeAlias = Scalar | Items | Map


def kind(tree: Tree) -> str:
    """Return what a part of a YAML text is, in words."""
    match tree:
        case Scalar():
            return "a single value"
        case Items():
            return "a list"
        case Map():
            return "a map"


def head(span: Span) -> Span:
    """Return the first line of a span."""
    return Span(span.source, span.start, span.start + len(span.text.split("\n", 1)[0].rstrip()))
