"""Build the findings about input files."""

from __future__ import annotations

from pathlib import Path

from mergegraph.diagnostics import Diagnostic, MergeGraphError, escape

SHOWN_CHARACTERS = 120
"""How much of a text from a file is repeated in a message."""


def fault(code: str, message: str, place: Path | str, *help: str) -> MergeGraphError:
    """Return the error about the file `place`."""
    return MergeGraphError(Diagnostic(code, message, place=str(place), help=help))


def warning(code: str, message: str, place: Path | str, *help: str) -> Diagnostic:
    """Return the warning about the file `place`."""
    return Diagnostic(code, message, place=str(place), help=help, severity="warning")


def counted(count: int, noun: str) -> str:
    """Return a number with its noun: `1 byte`, `2,000 bytes`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def cut(text: str) -> str:
    """Return a text, its end left out when it is too long for a message."""
    return f"{text[:SHOWN_CHARACTERS]}…" if len(text) > SHOWN_CHARACTERS else text


def quoted(text: str) -> str:
    """Return a text from a file in backquotes: escaped, and cut when it is long."""
    return f"`{escape(cut(text))}`"
