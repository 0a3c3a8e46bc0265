"""Names in force while a recipe is resolved, and the findings made on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

from mergegraph.diagnostics import Diagnostic, Label, Span
from mergegraph.ir.node import Node
from mergegraph.recipe.values import Value
from mergegraph.syntax import nodes as s


@dataclass(frozen=True, slots=True)
class Bound:
    """A value and where its name was given."""

    value: Value
    span: Span


@dataclass(slots=True)
class Scope:
    """The names of a recipe, a function call or one turn of a `for`, inside those of `parent`."""

    parent: Scope | None = None
    values: dict[str, Bound] = field(default_factory=dict)

    def find(self, name: str) -> Bound | None:
        """Return what a name is bound to here or further out."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.values:
                return scope.values[name]
            scope = scope.parent
        return None

    def names(self) -> set[str]:
        """Return every name in force."""
        return set(self.values) | (self.parent.names() if self.parent else set())


@dataclass(frozen=True, eq=False)
class Definition:
    """A function written in the language; `home` are the names its body sees, `folder` where its paths begin.

    `written` parses it, where it is not parsed yet.
    """

    written: Callable[[], s.Function]
    home: Scope
    folder: str
    builtin: bool

    @cached_property
    def syntax(self) -> s.Function:
        """The function as it was written."""
        return self.written()


@dataclass(slots=True)
class Findings:
    """What has been found so far: errors and warnings, the places and names of nodes.

    `optional` are the globs of `select`s that may match no tensor.
    """

    diagnostics: list[Diagnostic] = field(default_factory=list)
    spans: dict[Node, Span] = field(default_factory=dict)
    names: dict[Node, str] = field(default_factory=dict)
    optional: set[tuple[Node, str]] = field(default_factory=set)
    _known: set[Diagnostic] = field(default_factory=set)

    def error(
        self, code: str, message: str, span: Span, note: str = "", *more: Label, help: tuple[str, ...] = ()
    ) -> None:
        """Report an error at `span`; `note` stands beside the caret, `more` are other places that explain it."""
        self._add(Diagnostic(code, message, (Label(span, note), *more), help))

    def warn(self, code: str, message: str, span: Span, note: str = "", help: tuple[str, ...] = ()) -> None:
        """Report something that is allowed and probably not meant."""
        self._add(Diagnostic(code, message, (Label(span, note),), help, severity="warning"))

    def change(self, number: int, found: Diagnostic) -> None:
        """Put another finding in the place of one."""
        self._known.discard(self.diagnostics[number])
        self._known.add(found)
        self.diagnostics[number] = found

    def _add(self, found: Diagnostic) -> None:
        if found not in self._known:
            self._known.add(found)
            self.diagnostics.append(found)
