"""Errors as values: a code, a message, places in the recipe, and the way out."""

from __future__ import annotations

import difflib
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

Severity = Literal["error", "warning"]

WIDEST = 200
"""Characters of a line that are shown; of a longer one, those around the place."""

EXIT_CODES = {"1": 2, "2": 2, "3": 2, "4": 4, "5": 3, "6": 1}
"""The process exit code by the first digit of a diagnostic's code; `Diagnostic.exit_code` overrides it."""


@dataclass(frozen=True, eq=False)
class Source:
    """Hold the text that spans point into. Compared by identity, so that spans stay cheap to hash."""

    name: str
    text: str
    _starts: list[int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        starts = [0]
        starts.extend(i + 1 for i, c in enumerate(self.text) if c == "\n")
        object.__setattr__(self, "_starts", starts)

    def place(self, offset: int) -> tuple[int, int]:
        """Return the 1-based line and column of a character offset."""
        line = bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1

    def line(self, number: int) -> str:
        """Return the text of a 1-based line, without its end."""
        start = self._starts[number - 1]
        end = self._starts[number] - 1 if number < len(self._starts) else len(self.text)
        return self.text[start:end].rstrip("\r")


@dataclass(frozen=True, slots=True)
class Span:
    """A half-open range of characters of a source."""

    source: Source
    start: int
    end: int

    @property
    def text(self) -> str:
        """The characters it covers."""
        return self.source.text[self.start : self.end]


@dataclass(frozen=True, slots=True)
class Label:
    """A place and what is to be said of it."""

    span: Span
    text: str = ""


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding. The first label is the place that is wrong; the others explain it.

    `place` names what has no recipe text: a file, a tensor, a flag.
    """

    code: str
    message: str
    labels: tuple[Label, ...] = ()
    help: tuple[str, ...] = ()
    place: str = ""
    severity: Severity = "error"
    status: int | None = None

    @property
    def exit_code(self) -> int:
        """The exit code of a run that ends with this finding."""
        return self.status if self.status is not None else EXIT_CODES[self.code[2]]


class MergeGraphError(Exception):
    """Carry every diagnostic that was found before work had to stop."""

    def __init__(self, *diagnostics: Diagnostic) -> None:
        super().__init__("\n\n".join(render(d) for d in diagnostics))
        self.diagnostics = diagnostics

    @property
    def exit_code(self) -> int:
        """The exit code of the first error."""
        return self.diagnostics[0].exit_code


def escape(text: str) -> str:
    """Return text from a file with everything that could steer a terminal made visible.

    Control characters, line ends, bidirectional marks and unpaired surrogates become `\\u....` escapes.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def suggest(name: str, candidates: Iterable[str]) -> str | None:
    """Return the candidate that was probably meant by `name`, if one is close: first one with the same letters."""
    known = sorted(candidates)
    swapped = [candidate for candidate in known if sorted(candidate) == sorted(name)]
    return next(iter(swapped or difflib.get_close_matches(name, known, n=1, cutoff=0.6)), None)


def did_you_mean(name: str, candidates: Iterable[str]) -> tuple[str, ...]:
    """Return the help line that offers the closest candidate, or nothing."""
    meant = suggest(name, candidates)
    return (f"did you mean `{escape(meant)}`?",) if meant else ()


def listed(names: Iterable[str], limit: int = 5) -> str:
    """Return up to `limit` quoted names, and how many more there are."""
    found = list(names)
    shown = ", ".join(f"`{escape(name)}`" for name in found[:limit])
    return f"{shown} and {len(found) - limit} more" if len(found) > limit else shown


def render(diagnostic: Diagnostic) -> str:
    """Return the diagnostic as the text people read: a header, the marked lines, the help."""
    return "\n".join(_lines(diagnostic))


def _lines(diagnostic: Diagnostic) -> Iterator[str]:
    yield f"{diagnostic.severity}[{diagnostic.code}]: {diagnostic.message}"
    labels = diagnostic.labels
    gutter = max((len(str(label.span.source.place(label.span.start)[0])) for label in labels), default=1)
    pad = " " * gutter
    if diagnostic.place:
        yield f"{pad} --> {escape(diagnostic.place)}"
    shown: Source | None = None
    for label in labels:
        yield from _marked(label, gutter, first=shown is not label.span.source)
        shown = label.span.source
    for text in diagnostic.help:
        yield f"{pad} = help: {text}"


def _marked(label: Label, gutter: int, *, first: bool) -> Iterator[str]:
    source = label.span.source
    number, column = source.place(label.span.start)
    if first:
        yield f"{' ' * gutter} ┌─ {escape(source.name)}:{number}:{column}"
    raw = source.line(number)
    left = max(0, column - 1 - WIDEST // 2) if len(raw) > WIDEST else 0
    shown = raw[left : left + WIDEST]
    start = column - 1 - left
    before, marked = shown[:start], shown[start : start + label.span.end - label.span.start]
    yield f"{number:>{gutter}} │ {_visible(shown)}".rstrip()
    carets = "^" * max(1, len(_visible(marked)))
    yield f"{' ' * gutter} │ {' ' * len(_visible(before))}{carets} {label.text}".rstrip()


def _visible(text: str) -> str:
    return escape(text.replace("\t", "    "))
