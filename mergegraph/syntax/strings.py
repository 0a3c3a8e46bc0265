"""Strings between the quotes: escapes resolved and written."""

from __future__ import annotations

import re
from collections.abc import Iterator

_ESCAPES = {'"': '"', "\\": "\\", "n": "\n", "t": "\t"}
_WRITTEN = {value: f"\\{letter}" for letter, value in _ESCAPES.items()}
_ESCAPE = re.compile(r"\\(?:u\{([0-9A-Fa-f]{1,6})\}|(.))")


def unquote(literal: str) -> str:
    """Return the value of a string literal. Unknown escapes stay as they are: see `bad_escapes`."""
    return _ESCAPE.sub(lambda found: _resolved(found) or found[0], literal[1:-1])


def bad_escapes(literal: str) -> Iterator[tuple[int, int]]:
    """Yield start and end of every escape in a literal that stands for no character."""
    return (found.span() for found in _ESCAPE.finditer(literal) if _resolved(found) is None)


def quote(value: str) -> str:
    """Return the literal of a string. What can't be seen is written as an escape."""
    return f'"{"".join(map(_written, value))}"'


def _resolved(escape: re.Match[str]) -> str | None:
    if escape[1] is None:
        return _ESCAPES.get(escape[2])
    point = int(escape[1], 16)
    return chr(point) if 0 < point < 0xD800 or 0xDFFF < point < 0x110000 else None


def _written(character: str) -> str:
    if character in _WRITTEN:
        return _WRITTEN[character]
    return character if character.isprintable() else f"\\u{{{ord(character):x}}}"
