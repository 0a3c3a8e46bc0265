"""`mergegraph explain`: print any stage."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

import click

from mergegraph.cli.options import exact_option, memory_option, recipe_argument, workers_option
from mergegraph.cli.save import save_report

Stage = Literal["syntax", "recipe", "graph", "optimized", "plan"]
Format = Literal["text", "json", "dot", "mermaid", "html"]


@click.command("explain")
@recipe_argument
@click.option(
    "--stage",
    type=click.Choice(get_args(Stage)),
    help="Which stage of the compiler to print: the plan, with --tensor the recipe, unless another is named.",
)
@click.option("--tensor", metavar="GLOB", help="Only tensors whose name matches, their parameters resolved.")
@click.option(
    "--format",
    "form",
    type=click.Choice(get_args(Format)),
    default="text",
    help="How to print it; html is one page of all stages.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write to a file.")
@memory_option
@workers_option
@exact_option
def command(
    recipe: Path,
    stage: Stage | None,
    tensor: str | None,
    form: Format,
    output: Path | None,
    memory: int | None,
    workers: int | None,
    exact: bool,
) -> None:
    """Show what MergeGraph makes of RECIPE: what it would read and write, in how much memory, and why. Runs nothing.

    \b
    Example:
        mergegraph explain ties.merge --memory 2GB
        mergegraph explain ties.merge --tensor '*.0.mlp.up_proj.weight'
        mergegraph explain ties.merge --stage optimized --tensor '*.0.mlp.*'
        mergegraph explain ties.merge --format html -o ties.html
    """
    from mergegraph.compiler import read_recipe
    from mergegraph.report.explain import explain

    compilation = read_recipe(recipe, exact=exact)
    chosen = stage or ("plan" if tensor is None else "recipe")
    text = explain(compilation, chosen, tensor=tensor, format=form, memory=memory, workers=workers)
    if output is None:
        click.echo(text.rstrip("\n"))
    else:
        save_report(output, text)
