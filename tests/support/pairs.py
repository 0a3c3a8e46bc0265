"""Fixtures of two parts, what goes in and what is expected to come out, with a line of dashes between them."""

from __future__ import annotations

from pathlib import Path

LINE = "----\n"


def read_input(path: Path) -> str:
    """Return the part of a fixture above the line."""
    return path.read_text(encoding="utf-8").partition(LINE)[0]


def joined(given: str, result: str) -> str:
    """Return the text of a fixture."""
    return f"{given}{LINE}{result}"
