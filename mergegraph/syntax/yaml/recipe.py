"""Read a recipe written as YAML."""

from __future__ import annotations

from dataclasses import dataclass

from mergegraph.diagnostics import Diagnostic, Source
from mergegraph.syntax import nodes as s
from mergegraph.syntax.yaml.load import load
from mergegraph.syntax.yaml.mergekit import read_mergekit
from mergegraph.syntax.yaml.notes import Notes


@dataclass(frozen=True, slots=True)
class Read:
    """A recipe, and what is allowed in its text and probably not meant."""

    syntax: s.Recipe
    warnings: tuple[Diagnostic, ...] = ()


def read_yaml(source: Source) -> Read:
    """Return the recipe of a YAML text. MergeGraphError with every mistake in it."""
    notes = Notes()
    syntax = read_mergekit(load(source), source, notes)
    return Read(syntax, tuple(notes.warnings))
