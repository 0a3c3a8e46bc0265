"""Find where in somebody's Python an expression is written, so that errors can show it."""

from __future__ import annotations

import linecache
import os
import sys
from functools import lru_cache
from itertools import islice
from types import FrameType

from mergegraph.diagnostics import Source, Span

_OWN = "mergegraph."
_UNKNOWN = "(the text of this line is not known)"


def caller() -> Span:
    """Return the Python expression that is being evaluated outside of this package."""
    frame = sys._getframe(1)
    while frame.f_back is not None and f"{frame.f_globals.get('__name__', '')}.".startswith(_OWN):
        frame = frame.f_back
    return _span(frame)


def _span(frame: FrameType) -> Span:
    first, last, start, end = next(
        islice(frame.f_code.co_positions(), frame.f_lasti // 2, None), (None, None, None, None)
    )
    line = first or frame.f_lineno
    name = frame.f_code.co_filename
    text = "".join(linecache.getlines(name, frame.f_globals))
    if not text:
        source = _source(name, "\n" * (line - 1) + _UNKNOWN)
        return Span(source, line - 1, len(source.text))
    source = _source(_shown(name), text)
    begin = _offset(source, line, start or 0)
    return Span(source, begin, max(begin + 1, _offset(source, last or line, end or 0)))


@lru_cache(maxsize=256)
def _source(name: str, text: str) -> Source:
    return Source(name, text)


def _shown(name: str) -> str:
    """Return a path as it is shortest: from the current folder, where it lies in it; a cell of a notebook has none."""
    if f"{os.sep}ipykernel_" in name:
        return "notebook"
    folder = os.getcwd() + os.sep
    return name.removeprefix(folder)


def _offset(source: Source, line: int, column: int) -> int:
    """Return the character at a column that is counted in bytes of UTF-8, as Python counts them."""
    lines = source.text.split("\n")
    if line > len(lines):
        # The file has changed since it was loaded.
        return len(source.text)
    before = sum(len(earlier) + 1 for earlier in lines[: line - 1])
    return before + len(lines[line - 1].encode()[:column].decode(errors="replace"))
