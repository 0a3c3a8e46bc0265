"""Build the findings about input files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from mergegraph.diagnostics import Diagnostic, MergeGraphError, escape

SHOWN_CHARACTERS = 120
"""How much of a text from a file is repeated in a message."""


AGAIN = "copy or download the file again"
_CORRECT = "correct the file, or copy or download it again"
_USUAL: Mapping[str, str] = MappingProxyType(
    {
        "MG501": "see whether it was moved or renamed",
        "MG502": "put the file itself there",
        "MG503": "see that this user may read it, and that its disk is sound",
        "MG505": "look at what it is: no model that is known has as much",
        "MG506": _CORRECT,
        "MG507": _CORRECT,
        "MG509": "convert the tensor to a type that is known, such as BF16 or F32",
        "MG514": "an index names files beside it: do not trust this model",
        "MG520": "put the file itself there",
        "MG531": "run again: inputs must not be written to while they are merged",
        **dict.fromkeys(("MG504", "MG508", "MG510", "MG511", "MG512", "MG513"), AGAIN),
    }
)
"""What usually helps, by code."""


def fault(code: str, message: str, place: Path | str, *help: str) -> MergeGraphError:
    """Return the error about the file `place`; where no help is given, with the one that is usual for the code."""
    usual = (_USUAL[code],) if code in _USUAL else ()
    return MergeGraphError(Diagnostic(code, message, place=str(place), help=help or usual))


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
