"""`mergegraph diff`: compare checkpoints, or recipes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mergegraph.cli.options import format_option, memory_option, workers_option
from mergegraph.cli.progress import downloading, progress
from mergegraph.cli.save import RECIPES, refuse_report, save_report
from mergegraph.cli.show import show_diagnostics, show_json, show_reading

if TYPE_CHECKING:
    from mergegraph.survey.results import Comparison


@click.command("diff")
@click.argument("models", nargs=-1, required=True, metavar="A B [C…]")
@click.option("--base", metavar="MODEL", help="What all are compared with; without it, the first.")
@click.option("--tensor", metavar="GLOB", help="Only tensors whose name matches, a line for each.")
@format_option
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write a heat map to an .html file.")
@memory_option
@workers_option
def command(models: tuple[str, ...], base: str | None, form: str, output: Path | None, **settings: Any) -> None:
    """Show how models differ, or what two recipes do differently.

    Models are compared per layer and kind of tensor. Of each: the norm of the difference by that of the reference, the
    cosine between both, the share of elements that are not equal. Of several: how often they change an element in
    opposite directions, and the cosine between their changes. Everything is computed in float32 and summed up in
    float64, within `--memory`.

    \b
    Example:
        mergegraph diff ./base ./math ./code
        mergegraph diff ./math ./code --base ./base -o heat.html
        mergegraph diff old.merge new.merge
    """
    if all(model.endswith(RECIPES) for model in models):
        _recipes(models, base, form, output)
        return
    if output is not None:
        if output.suffix != ".html":
            raise click.UsageError(f"`{output.suffix}` is not a kind of heat map: give a file ending .html")
        refuse_report(output)
    comparison = _compared(models if base is None else (base, *models), **settings)
    if output is not None:
        from mergegraph.report.comparison_html import comparison_html

        save_report(output, comparison_html(comparison))
    from mergegraph.report.comparison_text import comparison_json, comparison_text

    if form == "json":
        show_json(comparison_json(comparison))
    else:
        click.echo(comparison_text(comparison, tensors=settings["tensor"] is not None))


def _compared(sources: tuple[str, ...], tensor: str | None, memory: int | None, workers: int | None) -> Comparison:
    from mergegraph.checkpoint.checkpoint import download, open_checkpoint
    from mergegraph.report.select import matching
    from mergegraph.survey.differences import compare

    if len(sources) < 2:
        raise click.UsageError("give at least two models, or one and its `--base`")
    reference, *models = [open_checkpoint(source, relative_to=Path()) for source in sources]
    every = (reference, *models)
    show_diagnostics([warning for checkpoint in every for warning in checkpoint.warnings])
    names = {name for checkpoint in every for name in checkpoint.tensors}
    if tensor is not None:
        names = matching(names, tensor, "tensor")
    download({c: {t.file for t in c.tensors.values() if t.name in names} for c in every}, downloading)
    with progress("reading") as planned:
        comparison, survey = compare(reference, models, names, memory=memory, workers=workers, planned=planned)
    show_reading(survey)
    return comparison


def _recipes(paths: tuple[str, ...], base: str | None, form: str, output: Path | None) -> None:
    from mergegraph.compiler import read_recipe
    from mergegraph.report.recipe_difference import recipe_difference
    from mergegraph.report.recipe_difference_text import recipe_difference_json, recipe_difference_text

    if len(paths) != 2 or base is not None or output is not None:
        raise click.UsageError("recipes are compared two at a time, without `--base` and `-o`")
    one, other = (read_recipe(Path(path)) for path in paths)
    found = recipe_difference(one, other)
    if form == "json":
        show_json(recipe_difference_json(found))
    else:
        click.echo(recipe_difference_text(found))
