"""`mergegraph run`: the merge."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mergegraph.cli.options import compile_option, exact_option, memory_option, recipe_argument, workers_option
from mergegraph.cli.progress import downloading, progress
from mergegraph.cli.push import private_option, push
from mergegraph.cli.show import show_diagnostics, show_json
from mergegraph.diagnostics import escape
from mergegraph.sizes import format_size

if TYPE_CHECKING:
    from mergegraph.compiler import Compilation
    from mergegraph.merge import Result


@click.command("run")
@recipe_argument
@click.argument("out", required=False, type=click.Path(path_type=Path))
@memory_option
@workers_option
@exact_option
@compile_option
@click.option("--resume", is_flag=True, help="Go on where an interrupted run of the same recipe stopped.")
@click.option("--overwrite", is_flag=True, help="Replace an output that exists, once the new one is complete.")
@click.option("--push-to", metavar="REPO", help="Upload the finished output to a repository on the Hub.")
@private_option
@click.option("--analyze", is_flag=True, help="With --json, also what each unit took, beside what was planned.")
@click.option("--json", "as_json", is_flag=True, help="Print what was done as one JSON object on stdout.")
def command(
    recipe: Path, out: Path | None, exact: bool, as_json: bool, push_to: str | None, private: bool, **settings: Any
) -> None:
    """Merge: run RECIPE and write its outputs.

    `-` reads the recipe from standard input. OUT replaces the path of a single `save`, and is the folder of several. An
    output appears under its name when it is complete, and not before.

    \b
    Example:
        mergegraph run ties.merge out/ties --memory 2GB
        mergegraph run ties.merge out/ties --push-to me/ties --private
    """
    from mergegraph.compiler import read_recipe
    from mergegraph.machine import allow_many_files
    from mergegraph.merge import Options, merge

    if settings["analyze"] and not as_json:
        raise click.UsageError("--analyze goes with --json; `mergegraph explain --analyze` shows it as text")
    allow_many_files()
    compilation = read_recipe(recipe, exact=exact)
    compilation.read_tokenizers(settings["memory"])
    show_diagnostics(compilation.warnings())
    if push_to is not None:
        _check_push(compilation, push_to)
    with progress("merging") as planned:
        result = merge(compilation, out, Options(**settings), planned=planned, downloading=downloading)
    show_diagnostics(result.warnings)
    if as_json:
        show_json({**summary(result), **(_measured(compilation, result) if settings["analyze"] else {})})
    else:
        click.echo(_sentence(result))
    if push_to is not None:
        push(result.outputs[0], push_to, private=private)


def _check_push(compilation: Compilation, repository: str) -> None:
    """Raise what stands in the way of a push, before the merge takes its time."""
    from mergegraph.write.push import check_access

    if len(compilation.recipe.saves) > 1:
        raise click.UsageError("--push-to takes a recipe with one `save`; push several with `mergegraph push`")
    check_access(repository)


def _measured(compilation: Compilation, result: Result) -> dict[str, Any]:
    """Return what each unit took as plain data."""
    from mergegraph.report.analysis import analysis_json

    return {"measured": analysis_json(compilation, result)}


def summary(result: Result) -> dict[str, Any]:
    """Return what a run did as plain data."""
    return {
        "outputs": [str(path) for path in result.outputs],
        "seconds": round(result.seconds, 3),
        "bytes_read": result.bytes_read,
        "bytes_written": result.bytes_written,
        "planned_peak_bytes": result.planned_peak_bytes,
        "peak_rss_bytes": result.peak_rss_bytes,
        "units": result.units,
        **({"compile_seconds": round(result.compile_seconds, 3)} if result.compiled_loops else {}),
    }


def _sentence(result: Result) -> str:
    paths = ", ".join(escape(str(path)) for path in result.outputs)
    compiled = f"compiled in {result.compile_seconds:.1f} s, " if result.compiled_loops else ""
    return (
        f"{paths}: {compiled}read {format_size(result.bytes_read)}, wrote {format_size(result.bytes_written)} in "
        f"{result.seconds:.1f} s, peak memory {format_size(result.peak_rss_bytes)} "
        f"(planned {format_size(result.planned_peak_bytes)})"
        + (f"; {result.units_before} of {result.units} units were done before" if result.units_before else "")
    )
