"""Print diagnostics and results."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TextIO

import click

from mergegraph.diagnostics import Diagnostic, render
from mergegraph.sizes import format_size

if TYPE_CHECKING:
    from mergegraph.survey.measure import Survey

_HEAD = re.compile(r"^(error|warning)(\[MG\d+\])", re.MULTILINE)
_CARETS = re.compile(r"(│ +)(\^+)")


def colour_wanted(stream: TextIO) -> bool:
    """Tell whether a stream is a terminal that wants colour."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def show_diagnostics(diagnostics: Iterable[Diagnostic]) -> None:
    """Print diagnostics to stderr, with a blank line between them and a count at the end."""
    found = list(diagnostics)
    for diagnostic in found:
        click.echo(_coloured(render(diagnostic)) + "\n", err=True)
    errors = sum(d.severity == "error" for d in found)
    if errors > 1:
        click.echo(f"{errors} errors", err=True)


def _coloured(text: str) -> str:
    if not colour_wanted(sys.stderr):
        return text
    text = _HEAD.sub(lambda m: click.style(m[0], fg="red" if m[1] == "error" else "yellow", bold=True), text, count=1)
    return _CARETS.sub(lambda m: m[1] + click.style(m[2], fg="red", bold=True), text)


def show_reading(survey: Survey) -> None:
    """Print to stderr what it took to look at tensors."""
    click.echo(
        f"read {format_size(survey.bytes_read)} in {survey.seconds:.1f} s, peak memory "
        f"{format_size(survey.peak_rss_bytes)} (planned {format_size(survey.planned_peak_bytes)})",
        err=True,
    )


def show_json(value: Any) -> None:
    """Print one JSON value to stdout."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def as_json(diagnostic: Diagnostic) -> Mapping[str, Any]:
    """Return a diagnostic as plain data; places are 1-based lines and columns."""
    return {
        "code": diagnostic.code,
        "severity": diagnostic.severity,
        "message": diagnostic.message,
        "place": diagnostic.place or None,
        "help": list(diagnostic.help),
        "labels": [
            {
                "file": label.span.source.name,
                "start": list(label.span.source.place(label.span.start)),
                "end": list(label.span.source.place(label.span.end)),
                "text": label.text,
            }
            for label in diagnostic.labels
        ],
    }
