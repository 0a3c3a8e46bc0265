"""`mergegraph check`: everything that can be known from headers."""

from __future__ import annotations

from pathlib import Path

import click

from mergegraph.cli.options import recipe_argument
from mergegraph.cli.show import as_json, show_diagnostics, show_json
from mergegraph.diagnostics import Diagnostic, MergeGraphError


@click.command("check")
@recipe_argument
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="How to print findings.",
)
@click.option("--types", is_flag=True, help="Check names and types only; the models need not be there.")
def command(recipe: Path, form: str, types: bool) -> int:
    """Check RECIPE without running it.

    Its names, types, models and shapes are looked at; of the models only headers are read.

    \b
    Example:
        mergegraph check ties.merge
    """
    found, code = _findings(recipe, types=types)
    if form == "json":
        show_json([as_json(diagnostic) for diagnostic in found])
    else:
        show_diagnostics(found)
        if not code:
            click.echo(f"{recipe}: fine")
    return code


def _findings(path: Path, *, types: bool) -> tuple[tuple[Diagnostic, ...], int]:
    from mergegraph.compiler import read_recipe

    try:
        compilation = read_recipe(path)
        if types:
            return compilation.recipe.warnings, 0
        compilation.optimized  # noqa: B018 - computing a stage is what finds its errors
        return compilation.warnings(), 0
    except MergeGraphError as error:
        return error.diagnostics, error.exit_code
