"""`mergegraph explain`: print any stage."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal, get_args

import click

from mergegraph.cli.options import compile_option, exact_option, memory_option, recipe_argument, workers_option
from mergegraph.cli.progress import downloading, progress
from mergegraph.cli.save import save_report
from mergegraph.cli.show import show_diagnostics
from mergegraph.machine import allow_many_files

if TYPE_CHECKING:
    from mergegraph.compiler import Compilation

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
    show_default=True,
    help="How to print it; html is one page of all stages.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write to a file.")
@click.option(
    "--analyze",
    is_flag=True,
    help="Run the merge and show what it took beside what was planned. The output goes to OUT, or is removed.",
)
@click.option("--out", type=click.Path(path_type=Path), help="With --analyze, where the output is to stay.")
@memory_option
@workers_option
@exact_option
@compile_option
def command(
    recipe: Path,
    stage: Stage | None,
    tensor: str | None,
    form: Format,
    output: Path | None,
    analyze: bool,
    out: Path | None,
    memory: int | None,
    workers: int | None,
    exact: bool,
    compile: bool | None,
) -> None:
    """Show what RECIPE would read, write and need, and why.

    Runs nothing, but with --analyze.

    \b
    Example:
        mergegraph explain ties.merge --memory 2GB
        mergegraph explain ties.merge --tensor '*.0.mlp.up_proj.weight'
        mergegraph explain ties.merge --stage optimized --tensor '*.0.mlp.*'
        mergegraph explain ties.merge --format html -o ties.html
        mergegraph explain ties.merge --analyze --memory 2GB
    """
    from mergegraph.compiler import read_recipe
    from mergegraph.report.explain import explain

    compilation = read_recipe(recipe, exact=exact)
    chosen = stage or ("plan" if tensor is None else "recipe")
    if analyze or compile is not None or out is not None:
        if not analyze or tensor is not None or chosen != "plan" or form in ("dot", "mermaid"):
            message = "--analyze shows the whole plan as text, json or html; --out and --compile go with --analyze"
            raise click.UsageError(message)
        text = _analyzed(compilation, form, out, memory=memory, workers=workers, compile=compile)
    else:
        text = explain(compilation, chosen, tensor=tensor, format=form, memory=memory, workers=workers)
    if output is None:
        click.echo(text.rstrip("\n"))
    else:
        save_report(output, text)


def _analyzed(compilation: Compilation, form: Format, out: Path | None, **settings: Any) -> str:
    """Run a merge and return what it took; the output is removed unless `out` says where it is to stay."""
    from mergegraph.merge import Options, merge
    from mergegraph.report.analysis import analysis_json, analysis_text
    from mergegraph.report.page import page
    from mergegraph.report.plan_json import plan_json

    allow_many_files()
    with ExitStack() as stack:
        # Beside where the output would go, so that the same disk is measured.
        scratch = Path(stack.enter_context(TemporaryDirectory(prefix="mergegraph-analyze-", dir=".")))
        planned = stack.enter_context(progress("merging"))
        options = Options(analyze=True, **settings)
        result = merge(compilation, out or scratch / "out", options, planned=planned, downloading=downloading)
    show_diagnostics(result.warnings)
    if form == "html":
        return page(compilation, result.plan, result.analysis)
    if form == "json":
        measured = {"measured": analysis_json(compilation, result)}
        return json.dumps({"stage": "plan", **plan_json(compilation, result.plan), **measured}, indent=2) + "\n"
    return analysis_text(compilation, result)
