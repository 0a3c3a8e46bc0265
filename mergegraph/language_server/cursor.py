"""See what is being typed at a place, from the text alone: half a statement has no Syntax."""

from __future__ import annotations

import re
from dataclasses import dataclass

_HEAD = re.compile(r"^(?=[A-Za-z_])", re.MULTILINE)
_PIECE = re.compile(r'"(?:[^"\\\n]|\\.)*"|#[^\n]*|"|[()\[\]{}]')
_WORD = re.compile(r"[A-Za-z_]\w*\Z")
_CLOSERS = {")": "(", "]": "[", "}": "{"}


@dataclass(frozen=True, slots=True)
class Opened:
    """An open bracket, the word before it, and the text that stands in it up to the cursor."""

    bracket: str
    word: str
    inside: str


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where an editor's cursor stands: the `word` or `string` that is being typed, and what stands before it.

    `string` is None outside strings, and `comment` tells whether it stands in a comment. `before` is the text of the
    statement up to the word or string; `opened` the innermost bracket that is open there.
    """

    word: str
    string: str | None
    before: str
    opened: Opened | None
    comment: bool


def cursor(text: str, offset: int) -> Cursor:
    """Return what is being typed at an offset."""
    start = max((found.start() for found in _HEAD.finditer(text, 0, offset)), default=0)
    statement = text[start:offset]
    stack: list[int] = []
    quote: int | None = None
    comment = False
    for piece in _PIECE.finditer(statement):
        if piece[0] in _CLOSERS.values():
            stack.append(piece.start())
        elif piece[0] in _CLOSERS:
            if stack and statement[stack[-1]] == _CLOSERS[piece[0]]:
                stack.pop()
        elif piece[0] == '"':
            quote = piece.start()
            break
        elif piece[0][0] == "#":
            comment = piece.end() == len(statement)
    word = "" if quote is not None else _word_at_end(statement)
    before = statement[:quote] if quote is not None else statement[: len(statement) - len(word)]
    return Cursor(
        word, None if quote is None else statement[quote + 1 :], before.rstrip(), _opened(before, stack), comment
    )


def _opened(before: str, stack: list[int]) -> Opened | None:
    if not stack:
        return None
    at = stack[-1]
    return Opened(before[at], _word_at_end(before[:at].rstrip()), before[at + 1 :])


def _word_at_end(text: str) -> str:
    found = _WORD.search(text)
    return found[0] if found else ""
