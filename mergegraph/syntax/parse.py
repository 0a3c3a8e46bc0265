"""Parse recipe text into the Syntax, or say all that is wrong with it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import replace

from mergegraph.diagnostics import Diagnostic, Label, MergeGraphError, Source, Span
from mergegraph.syntax.build import Reading
from mergegraph.syntax.mistakes import diagnose
from mergegraph.syntax.nodes import Recipe, Statement
from mergegraph.syntax.recovery import resumption
from mergegraph.syntax.stops import Stop
from mergegraph.syntax.trivia import Trivia

MAX_BYTES = 1 << 20
"""The largest recipe, in bytes of UTF-8."""

MAX_ERRORS = 20
"""The most errors that are shown of one recipe."""

_HIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]|\r(?!\n)"
)
"""Characters that change what a person sees of a text: controls, marks of direction, line ends that are none."""


def parse(text: str, name: str) -> Recipe:
    """Return the Syntax of a recipe; `name` is what its errors call it. MergeGraphError with every mistake."""
    return parse_with_trivia(text, name)[0]


def parse_with_trivia(text: str, name: str) -> tuple[Recipe, Trivia]:
    """Return the Syntax of a recipe and what the Syntax leaves out. MergeGraphError with every mistake."""
    source = Source(name, text.removeprefix("\ufeff"))
    _refuse_large(source)
    reading = Reading(source, findings=hidden_characters(source))
    statements = _read(reading)
    if reading.findings:
        raise MergeGraphError(*_in_order(reading.findings))
    return Recipe(statements, Span(source, 0, len(source.text))), reading.trivia()


def _read(reading: Reading) -> tuple[Statement, ...]:
    """Return the statements. After a mistake, noted in the findings, go on at the next statement to find more."""
    from mergegraph.syntax.engine import statements

    text = _HIDDEN.sub(" ", reading.source.text)
    position: int | None = 0
    while position is not None and len(reading.findings) < MAX_ERRORS:
        outcome = statements(" " * position + text[position:], reading)
        if not isinstance(outcome, Stop):
            return outcome
        reading.findings.append(diagnose(outcome))
        position = resumption(outcome, position)
    return ()


def _refuse_large(source: Source) -> None:
    size = len(source.text.encode("utf-8", "surrogatepass"))
    if size > MAX_BYTES:
        message = f"the recipe has {size:,} bytes; at most {MAX_BYTES:,} are read"
        raise MergeGraphError(Diagnostic("MG116", message, place=source.name, help=("is it a recipe at all?",)))


def hidden_characters(source: Source) -> list[Diagnostic]:
    """Return an error for the first hidden character of each line, comments and strings included."""
    found: dict[int, Diagnostic] = {}
    for character in _HIDDEN.finditer(source.text):
        line, _ = source.place(character.start())
        if line not in found:
            found[line] = _hidden(character[0], Span(source, *character.span()))
    return list(found.values())


def _hidden(character: str, place: Span) -> Diagnostic:
    point = ord(character)
    name = unicodedata.name(character, "control character")
    help = f"in a string, write it as `\\u{{{point:x}}}`" if 0x20 <= point < 0xD800 else "remove it"
    return Diagnostic("MG108", f"a hidden character: U+{point:04X} ({name})", (Label(place),), (help,))


def _in_order(findings: Iterable[Diagnostic]) -> list[Diagnostic]:
    """Return the findings by place, the first at each, without what a hidden character may have caused."""
    hidden = {_line(finding) for finding in findings if finding.code == "MG108"}
    placed: dict[int, Diagnostic] = {}
    for finding in findings:
        if finding.code == "MG108" or _line(finding) not in hidden:
            placed.setdefault(finding.labels[0].span.start, finding)
    shown = [placed[start] for start in sorted(placed)]
    if len(shown) < MAX_ERRORS:
        return shown
    last = shown[MAX_ERRORS - 1]
    return [*shown[: MAX_ERRORS - 1], replace(last, help=(*last.help, f"at most {MAX_ERRORS} errors are shown"))]


def _line(finding: Diagnostic) -> int:
    span = finding.labels[0].span
    return span.source.place(span.start)[0]
