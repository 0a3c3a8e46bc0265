"""Findings made while a YAML text is read."""

from __future__ import annotations

from dataclasses import dataclass, field

from mergegraph.diagnostics import Diagnostic, Label, MergeGraphError, Span

MAX_ERRORS = 20
"""The most errors that are shown of one text."""


@dataclass(slots=True)
class Notes:
    """Gathers errors and warnings, so that all are shown at once."""

    errors: list[Diagnostic] = field(default_factory=list)
    warnings: list[Diagnostic] = field(default_factory=list)

    def error(
        self, code: str, message: str, span: Span, note: str = "", *more: Label, help: tuple[str, ...] = ()
    ) -> None:
        """Note an error at `span`; `note` stands beside the caret, `more` are other places that explain it."""
        self.errors.append(Diagnostic(code, message, (Label(span, note), *more), help))

    def warn(self, code: str, message: str, span: Span, note: str = "", help: tuple[str, ...] = ()) -> None:
        """Note something that is allowed and probably not meant."""
        self.warnings.append(Diagnostic(code, message, (Label(span, note),), help, severity="warning"))

    def check(self) -> None:
        """Raise MergeGraphError with all errors so far, in the order of the text, if there are any."""
        if self.errors:
            raise MergeGraphError(*sorted(self.errors, key=_start)[:MAX_ERRORS])


def _start(diagnostic: Diagnostic) -> int:
    return diagnostic.labels[0].span.start if diagnostic.labels else 0
