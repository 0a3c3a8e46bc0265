"""Give each comment of a text to what it speaks of, so that it stays there when the text is laid out anew.

Statements and the elements of brackets can have comments above them and one after them. A comment in any other place
moves above the innermost of these that it stands in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from mergegraph.diagnostics import Span
from mergegraph.syntax import nodes as s
from mergegraph.syntax.inline import Element, chain
from mergegraph.syntax.trivia import Trivia, comment_text

Item: TypeAlias = Element | s.Statement

_BLANK_LINE = re.compile(r"\n[ \t\r]*\n")


@dataclass(frozen=True, slots=True)
class Beside:
    """The lines above an item, "" for a blank one, and what stands after it on its last line."""

    above: tuple[str, ...]
    after: str


def arrange(items: Sequence[Item], start: int, end: int, trivia: Trivia) -> tuple[tuple[Beside, ...], tuple[str, ...]]:
    """Return what stands beside each of the items between two offsets, and the lines below the last."""
    found: list[Beside] = []
    position = start
    for i, item in enumerate(items):
        stop = items[i + 1].span.start if i + 1 < len(items) else end
        above = _lines(position, item.span.start, trivia, opening=i == 0)
        after = _after(item.span.end, stop, trivia)
        found.append(Beside((*above, *_unclaimed(item, trivia)), f"  {comment_text(after)}" if after else ""))
        position = after.end if after else item.span.end
    below = tuple(_lines(position, end, trivia, opening=not items))
    return tuple(found), below[:-1] if below[-1:] == ("",) else below


def commented(item: Item, trivia: Trivia) -> bool:
    """Tell whether something smaller in an item has comments of its own."""
    return any(trivia.comments_in(start, end) for start, end in _claimed(item, trivia))


def _lines(start: int, end: int, trivia: Trivia, *, opening: bool) -> Iterator[str]:
    for comment in trivia.comments_in(start, end):
        if not opening and _blank(start, comment.start, trivia):
            yield ""
        yield comment_text(comment)
        start, opening = comment.end, False
    if not opening and _blank(start, end, trivia):
        yield ""


def _blank(start: int, end: int, trivia: Trivia) -> bool:
    return bool(_BLANK_LINE.search(trivia.written(start, end)))


def _after(start: int, end: int, trivia: Trivia) -> Span | None:
    comment = next(iter(trivia.comments_in(start, end)), None)
    return None if comment is None or "\n" in trivia.written(start, comment.start) else comment


def _unclaimed(item: Item, trivia: Trivia) -> Iterator[str]:
    ranges = tuple(_claimed(item, trivia))
    for comment in trivia.comments_in(item.span.start, item.span.end):
        if not any(start <= comment.start < end for start, end in ranges):
            yield comment_text(comment)


def _claimed(item: Item, trivia: Trivia) -> Iterator[tuple[int, int]]:
    """Yield the ranges of an item whose comments belong to something smaller in it."""
    match item:
        case s.Call() | s.List() | s.Select():
            brackets = trivia.brackets.get(item.span, item.span)
            yield brackets.start, brackets.end
        case s.Binary():
            first, rest = chain(item, trivia)
            yield from _claimed(first, trivia)
            yield first.span.end, rest[-1][1].span.end
        case s.Negative(value) | s.Argument(_, value) | s.Case(_, value) | s.Binding(_, value) | s.LayerRange(value):
            yield from _claimed(value, trivia)
        case s.Parameter(_, default) if default:
            yield from _claimed(default, trivia)
        case s.Function():
            yield trivia.brackets.get(item.span, item.span).start, item.span.end
        case s.Save(value, path):
            yield from _claimed(value, trivia)
            yield path.span.end, item.span.end
        case s.For(_, values):
            yield from _claimed(values, trivia)
            yield values.span.end, item.span.end
