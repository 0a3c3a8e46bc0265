"""Find where a mistake ends: which bracket was forgotten, and at which statement parsing can go on."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mergegraph.syntax.stops import END, Stop, Word

_STATEMENT = re.compile(r"^(?:(?:fn|save|for|seed|import)(?!\w)|[A-Za-z_][\w-]*[ \t]*=(?!=))", re.MULTILINE)
_LANDMARK = re.compile(r'"(?:[^"\\\n]|\\.)*"?|#[^\n]*|[()\[\]{}]|^(?=[A-Za-z_])', re.MULTILINE)
_DEPTH = {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}
_NAME = re.compile(r"\w+")
_ENDING = frozenset({END, "TO", "WITH"})


@dataclass(frozen=True, slots=True)
class NeverClosed:
    """Brackets that nothing closes, innermost last, and what should have been preceded by their closing."""

    openers: tuple[Word, ...]
    before: Word
    swallowed: bool


def begins_statement(text: str, start: int) -> bool:
    """Tell whether what begins at `start` looks like the head of a statement at the beginning of a line."""
    return _next_statement(text, start) == start


def never_closed(stop: Stop) -> NeverClosed | None:
    """Return the brackets whose closing is missed: at a statement inside them, or a word that can't be inside any."""
    if not stop.opened or not (stop.word.kind in _ENDING or _head_between(stop, stop.opened[0])):
        return None
    openers = stop.opened[: _lowest_depth(stop)]
    head = _head_between(stop, openers[-1]) if openers else None
    if not openers or not (head or stop.word.kind in _ENDING):
        return None
    return NeverClosed(openers, head or stop.word, head is not None)


def swallowed_head(stop: Stop) -> bool:
    """Tell whether the `=` at the stop is that of the next statement, whose name was taken for a value."""
    if stop.word.kind != "EQUAL" or len(stop.recent) < 2 or stop.opened:
        return False
    return stop.after("NAME") and begins_statement(stop.source.text, stop.recent[-1].start)


def resumption(stop: Stop, begun: int) -> int | None:
    """Return where the text that was parsed from `begun` goes on after a mistake: at the head of a statement."""
    bracket = never_closed(stop)
    if bracket and bracket.swallowed:
        return bracket.before.start
    if swallowed_head(stop):
        return stop.recent[-1].start
    return _next_line(stop, begun)


def _next_line(stop: Stop, begun: int) -> int | None:
    """Return the next line that begins with a name outside of brackets, or else looks like a statement."""
    text, depth = stop.source.text, len(stop.opened)
    for landmark in _LANDMARK.finditer(text, stop.word.start):
        start = landmark.start()
        if landmark[0]:
            depth += _DEPTH.get(landmark[0], 0)
        elif start > begun and (depth <= 0 or begins_statement(text, start)):
            return start
    return None


def _next_statement(text: str, start: int) -> int | None:
    found = _STATEMENT.search(text, start)
    return found.start() if found else None


def _head_between(stop: Stop, opener: Word) -> Word | None:
    """Return the head of the first statement after an open bracket, up to the stop."""
    start = _next_statement(stop.source.text, opener.end)
    if start is None or start > stop.word.start:
        return None
    found = _NAME.match(stop.source.text, start)
    return Word("NAME", "", start, found.end() if found else start + 1)


def _lowest_depth(stop: Stop) -> int:
    """Return how many of the open brackets stay open to the end of the text."""
    depth = lowest = len(stop.opened)
    for landmark in _LANDMARK.finditer(stop.source.text, stop.word.start):
        depth += _DEPTH.get(landmark[0], 0)
        lowest = min(lowest, depth)
    return max(lowest, 0)
