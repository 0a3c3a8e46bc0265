"""`mergegraph import`: a recipe in YAML as text."""

from __future__ import annotations

from pathlib import Path

import click

from mergegraph.cli.show import show_diagnostics


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path))
def command(file: Path) -> None:
    """Print FILE, which is YAML, in the language of MergeGraph.

    FILE is a configuration of mergekit or a recipe in YAML. Running either gives the same model.

    \b
    Example:
        mergegraph import ties.yml > ties.merge
    """
    from mergegraph.compiler import read_recipe
    from mergegraph.syntax.format import format_recipe

    compilation = read_recipe(file)
    text = format_recipe(compilation.syntax)
    show_diagnostics(compilation.text_warnings)
    click.echo(text, nl=False)
