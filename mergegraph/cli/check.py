"""`mergegraph check`: everything that can be known from headers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mergegraph.cli.options import format_option, recipe_argument
from mergegraph.cli.show import as_json, show_diagnostics, show_json
from mergegraph.diagnostics import Diagnostic, MergeGraphError, Source, escape
from mergegraph.sizes import format_size

if TYPE_CHECKING:
    from mergegraph.compiler import Compilation


@click.command("check")
@recipe_argument
@format_option
@click.option("--types", is_flag=True, help="Check names and types only; the models need not be there.")
def command(recipe: Path, form: str, types: bool) -> int:
    """Check RECIPE without running it.

    Its names, types, models and shapes are looked at; of the models only headers are read.

    \b
    Example:
        mergegraph check ties.merge
    """
    found = _findings(recipe, types=types)
    if form == "json":
        models = [asdict(model) for model in found.models]
        show_json({"diagnostics": [as_json(diagnostic) for diagnostic in found.diagnostics], "models": models})
    else:
        show_diagnostics(found.diagnostics)
        if not found.code:
            click.echo(f"{recipe}: fine")
            for model in found.models:
                if model.commit:
                    size = format_size(model.download)
                    click.echo(f"{escape(model.source)}: commit {model.commit}, {size} to download")
    return found.code


@dataclass(frozen=True, slots=True)
class _Model:
    """A model of a recipe, the commit it is pinned to, and the bytes of weights that a run still downloads of it."""

    source: str
    commit: str | None
    download: int


@dataclass(frozen=True, slots=True)
class _Findings:
    """What was found, the exit code, and of a recipe without errors its models."""

    diagnostics: tuple[Diagnostic, ...]
    code: int = 0
    models: tuple[_Model, ...] = ()


def _findings(path: Path, *, types: bool) -> _Findings:
    from mergegraph.compiler import read_recipe

    try:
        compilation = read_recipe(path)
        compilation.syntax  # noqa: B018 - computing a stage is what finds its errors
    except MergeGraphError as error:
        return _Findings(error.diagnostics, error.exit_code)
    try:
        warnings = compilation.recipe.warnings
    except MergeGraphError as error:
        missing = () if types else _missing(compilation)
        return _Findings(_ordered(compilation.syntax.span.source, [*error.diagnostics, *missing]), error.exit_code)
    try:
        if types:
            return _Findings(warnings)
        compilation.optimized  # noqa: B018 - computing a stage is what finds its errors
        return _Findings(compilation.warnings(), models=tuple(_models(compilation)))
    except MergeGraphError as error:
        return _Findings(error.diagnostics, error.exit_code)


def _missing(compilation: Compilation) -> Iterator[Diagnostic]:
    from mergegraph.recipe.models import missing_models

    return missing_models(compilation.syntax, compilation.folder)


def _ordered(source: Source, found: list[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Return findings in the order of the recipe, before those in what it imports."""
    spans = {id(each): each.labels[0].span if each.labels else None for each in found}
    starts = {key: span.start if span and span.source is source else len(source.text) for key, span in spans.items()}
    return tuple(sorted(found, key=lambda each: starts[id(each)]))


def _models(compilation: Compilation) -> Iterator[_Model]:
    from mergegraph.checkpoint.checkpoint import commit, waiting

    for model in dict.fromkeys(compilation.checkpoints.values()):
        files = compilation.needed.get(model, frozenset())
        yield _Model(model.source, commit(model), sum(header.file_bytes for header in waiting(model, files)))
