"""`mergegraph check`: everything that can be known from headers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mergegraph.cli.options import format_option, recipe_argument
from mergegraph.cli.show import as_json, show_diagnostics, show_json
from mergegraph.diagnostics import Diagnostic, MergeGraphError, escape
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
    found, code, downloads = _findings(recipe, types=types)
    if form == "json":
        show_json([as_json(diagnostic) for diagnostic in found])
    else:
        show_diagnostics(found)
        if not code:
            click.echo(f"{recipe}: fine")
            for line in downloads:
                click.echo(line)
    return code


def _findings(path: Path, *, types: bool) -> tuple[tuple[Diagnostic, ...], int, list[str]]:
    """Return what was found, the exit code, and what a run would download."""
    from mergegraph.compiler import read_recipe

    try:
        compilation = read_recipe(path)
        if types:
            return compilation.recipe.warnings, 0, []
        compilation.optimized  # noqa: B018 - computing a stage is what finds its errors
        return compilation.warnings(), 0, _downloads(compilation)
    except MergeGraphError as error:
        return error.diagnostics, error.exit_code, []


def _downloads(compilation: Compilation) -> list[str]:
    """Return a line for each model of the Hub: its commit, and the bytes of weights that a run still fetches."""
    from mergegraph.checkpoint.checkpoint import commit, waiting

    found = {model: compilation.needed.get(model, frozenset()) for model in compilation.checkpoints.values()}
    return [
        f"{escape(model.source)}: commit {pinned}, {format_size(nbytes)} to download"
        for model, files in found.items()
        if (pinned := commit(model))
        for nbytes in [sum(header.file_bytes for header in waiting(model, files))]
    ]
