"""`mergegraph fmt`: the one layout."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from mergegraph.cli.save import replace_text


@click.command("fmt")
@click.argument("recipes", nargs=-1, required=True, type=click.Path(path_type=Path, allow_dash=True))
@click.option("--check", is_flag=True, help="Change nothing; exit with 1 if a file would change.")
def command(recipes: tuple[Path, ...], check: bool) -> int:
    """Format RECIPES in place.

    Comments are kept; `-` formats standard input to standard output. Recipes in YAML keep their layout, but for spaces
    at the ends of lines and blank lines.

    \b
    Example:
        mergegraph fmt recipes/*.merge
    """
    changed = [path for path in recipes if _format(path, check=check)]
    return int(check and bool(changed))


def _format(path: Path, *, check: bool) -> bool:
    from mergegraph.compiler import read_recipe
    from mergegraph.syntax.format import format_text
    from mergegraph.syntax.read import is_yaml
    from mergegraph.syntax.yaml.layout import format_yaml

    if str(path) == "-":
        click.echo(format_text(sys.stdin.read(), "<stdin>"), nl=False)
        return False
    source = read_recipe(path).source
    in_yaml = is_yaml(source)
    text = format_yaml(source) if in_yaml else format_text(source.text, source.name)
    if text == source.text:
        return False
    if not check:
        replace_text(path, text)
    click.echo(f"{'would format' if check else 'formatted'} {path}")
    return True
