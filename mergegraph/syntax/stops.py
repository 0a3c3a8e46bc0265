"""Where a parser stopped, with what is needed to say why."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from mergegraph.diagnostics import Diagnostic, Label, Source, Span

END, TOO_DEEP, CHARACTER = "$END", "$DEEP", "$CHARACTER"
"""Kinds of words that are no tokens: the end of the text, a token too deep, a character that begins no token."""

SHOWN = 40
"""How many characters of a text are shown in a message."""


@dataclass(frozen=True, slots=True)
class Word:
    """A token: the name of its terminal, its characters and where they are."""

    kind: str
    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Stop:
    """Where the parser stopped, and what it expected there.

    `recent` are the words before it, the nearest last; `opened` the brackets that are open.
    """

    source: Source
    word: Word
    expected: frozenset[str]
    recent: tuple[Word, ...]
    opened: tuple[Word, ...]

    def label(self, word: Word, text: str = "") -> Label:
        """Return a label at a word."""
        return Label(Span(self.source, word.start, word.end), text)

    def match(self, pattern: re.Pattern[str]) -> str:
        """Return the text at the stop that the pattern matches, which may be none."""
        found = pattern.match(self.source.text, self.word.start)
        return found[0] if found else ""

    def after(self, kind: str, distance: int = 1) -> bool:
        """Tell whether the word before the stop, or the one that far before it, is of a kind."""
        return len(self.recent) >= distance and self.recent[-distance].kind == kind


Rule: TypeAlias = Callable[[Stop], Diagnostic | None]
"""Knows one mistake: says what is wrong, or nothing where it is something else."""
