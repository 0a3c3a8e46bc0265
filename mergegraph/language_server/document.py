"""A recipe as an editor holds it: half-typed, with whatever of it can be understood."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mergegraph.checkpoint.checkpoint import Checkpoint, open_checkpoint
from mergegraph.checkpoint.source import is_local
from mergegraph.compiler import Compilation, read_source
from mergegraph.diagnostics import Diagnostic, MergeGraphError, Source
from mergegraph.recipe.recipe import Recipe
from mergegraph.syntax import nodes as s
from mergegraph.syntax.parse import parse
from mergegraph.syntax.read import is_yaml
from mergegraph.syntax.tree import walk

MOST_ROUNDS = 30
"""How many times the statements that can't be parsed are taken out before the text is given up."""

_HEAD = re.compile(r"^(?=[^\s#)\]}])", re.MULTILINE)


@dataclass(frozen=True)
class Document:
    """The text of a recipe and where it lies. Nothing here raises: what can't be understood is left out."""

    source: Source
    folder: Path

    @property
    def is_yaml(self) -> bool:
        """Tell whether the recipe is written in YAML."""
        return is_yaml(self.source)

    @cached_property
    def compilation(self) -> Compilation:
        """The recipe on its way to a plan; its stages raise where the text is wrong."""
        return Compilation(self.source, self.folder)

    @cached_property
    def syntax(self) -> s.Recipe:
        """The statements that can be parsed, at their places."""
        return parse("", self.source.name) if self.is_yaml else _readable(self.source)

    @cached_property
    def recipe(self) -> Recipe | None:
        """The graph of models, where the whole text makes sense."""
        try:
            return self.compilation.recipe
        except MergeGraphError:
            return None

    @cached_property
    def models(self) -> Mapping[str, Checkpoint]:
        """The models on this machine that the text names, by what it calls them; only headers are read."""
        found = {}
        for call in walk(self.syntax):
            source = model_source(call)
            if source is not None and source not in found and is_local(source, self.folder):
                try:
                    found[source] = open_checkpoint(source, relative_to=self.folder, revision=None)
                except (MergeGraphError, OSError):
                    continue
        return found

    @cached_property
    def definitions(self) -> Mapping[str, s.Binding | s.Function]:
        """The bindings and functions of the text and of what it imports, by name."""
        found: dict[str, s.Binding | s.Function] = {}
        for statement in self._statements(self.syntax, self.folder, set()):
            if isinstance(statement, (s.Binding, s.Function)):
                found.setdefault(statement.name.name, statement)
        return found

    def _statements(self, syntax: s.Recipe, folder: Path, seen: set[Path]) -> Iterator[s.Statement]:
        for statement in syntax.statements:
            yield statement
            path = folder / os.path.expanduser(statement.path.value) if isinstance(statement, s.Import) else None
            if path is not None and path not in seen:
                seen.add(path)
                try:
                    yield from self._statements(_readable(read_source(path)), path.parent, seen)
                except (OSError, ValueError):
                    continue


def model_source(node: object) -> str | None:
    """Return what a call of `model` names, None for anything else."""
    if isinstance(node, s.Call) and node.function.name == "model" and node.arguments:
        value = node.arguments[0].value
        return value.value if isinstance(value, s.String) and value.value else None
    return None


def _readable(source: Source) -> s.Recipe:
    """Return the statements that can be parsed: the others are blanked out, so that the places stay."""
    text = source.text
    for _ in range(MOST_ROUNDS):
        try:
            return parse(text, source.name)
        except MergeGraphError as error:
            blanked = text
            for diagnostic in error.diagnostics:
                blanked = _without(blanked, diagnostic)
            if blanked == text:
                break
            text = blanked
    return parse("", source.name)


def _without(text: str, diagnostic: Diagnostic) -> str:
    # A bracket that nothing closes is noticed at the next statement, and is to blame for itself.
    label = diagnostic.labels[-1 if diagnostic.code == "MG102" else 0] if diagnostic.labels else None
    if label is None:
        return ""
    heads = [0, *(found.start() for found in _HEAD.finditer(text)), len(text)]
    start = max(head for head in heads[:-1] if head <= label.span.start)
    end = min(head for head in heads if head > start) if start < len(text) else len(text)
    return text[:start] + re.sub(r"[^\n]", " ", text[start:end]) + text[end:]
