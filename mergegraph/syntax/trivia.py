"""What the Syntax leaves out and the formatter keeps: comments, brackets written open, the lines themselves."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass

from mergegraph.diagnostics import Source, Span


@dataclass(frozen=True, slots=True)
class Trivia:
    """What a text holds beside its Syntax.

    `comments` are in order; `brackets` are those of calls, lists, selects and functions, by the spans of these nodes;
    `held_open` says, in order, where the brackets begin whose last element is followed by a comma; `parenthesized` are
    the spans of expressions in parentheses.
    """

    source: Source | None
    comments: tuple[Span, ...]
    brackets: Mapping[Span, Span]
    held_open: tuple[int, ...]
    parenthesized: frozenset[Span]

    def written(self, start: int, end: int) -> str:
        """Return the characters from start to end; none for a tree that was not written as text."""
        return self.source.text[start:end] if self.source else ""

    def comments_in(self, start: int, end: int) -> tuple[Span, ...]:
        """Return the comments that begin from start to before end."""
        first, last = (bisect_left(self.comments, offset, key=_start) for offset in (start, end))
        return self.comments[first:last]

    def holds_open(self, span: Span) -> bool:
        """Tell whether a bracket within a span is held open."""
        found = bisect_left(self.held_open, span.start)
        return found < len(self.held_open) and self.held_open[found] < span.end


NO_TRIVIA = Trivia(None, (), {}, (), frozenset())
"""That of a tree which was not written as text."""


def comment_text(comment: Span) -> str:
    """Return a comment with its `#`, as it is written."""
    return comment.text.rstrip()


def stands_alone(comment: Span) -> bool:
    """Tell whether nothing stands before a comment on its line."""
    line, column = comment.source.place(comment.start)
    return not comment.source.line(line)[: column - 1].strip()


def _start(comment: Span) -> int:
    return comment.start
