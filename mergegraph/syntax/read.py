"""Read a recipe in the language that the name of its file says."""

from __future__ import annotations

from dataclasses import dataclass

from mergegraph.diagnostics import Diagnostic, Source
from mergegraph.syntax import nodes as s
from mergegraph.syntax.parse import parse

YAML_SUFFIXES = (".yml", ".yaml")
"""How the names of recipes in YAML end."""


@dataclass(frozen=True, slots=True)
class Read:
    """A recipe, and what is allowed in its text and probably not meant."""

    syntax: s.Recipe
    warnings: tuple[Diagnostic, ...] = ()


def is_yaml(source: Source) -> bool:
    """Tell whether a recipe is written in YAML."""
    return source.name.endswith(YAML_SUFFIXES)


def read(source: Source) -> Read:
    """Return the recipe of a text. MergeGraphError with every mistake in it."""
    if is_yaml(source):
        from mergegraph.syntax.yaml.recipe import read_yaml

        return read_yaml(source)
    return Read(parse(source.text, source.name))
