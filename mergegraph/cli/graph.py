"""`mergegraph graph`: pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mergegraph.cli.options import recipe_argument
from mergegraph.cli.save import save_report

if TYPE_CHECKING:
    from mergegraph.report.picture import Picture


@click.command("graph")
@recipe_argument
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="A .html, .svg, .png, .dot or .mmd file."
)
@click.option("--tensor", metavar="GLOB", help="Draw the operations on matching tensors, not those on models.")
def command(recipe: Path, output: Path, tensor: str | None) -> None:
    """Draw the merge graph of RECIPE.

    The suffix of the file says how: .html is a page with the recipe, the graphs and the plan to look around in; .svg
    and .png are pictures (Graphviz draws the latter); .dot and .mmd are texts for Graphviz and Mermaid.

    \b
    Example:
        mergegraph graph ties.merge -o ties.html
        mergegraph graph ties.merge -o q.svg --tensor 'model.layers.0.self_attn.q_proj.weight'
    """
    from mergegraph.compiler import read_recipe
    from mergegraph.report.dot import to_dot
    from mergegraph.report.explain import explain
    from mergegraph.report.mermaid import to_mermaid
    from mergegraph.report.picture import recipe_picture, tensor_picture
    from mergegraph.report.png import to_png
    from mergegraph.report.svg import to_svg

    writers: dict[str, Callable[[Picture], str | bytes]] = {
        ".svg": to_svg,
        ".png": to_png,
        ".dot": to_dot,
        ".mmd": to_mermaid,
    }
    if output.suffix not in (".html", *writers):
        suffixes = ", ".join((".html", *writers))
        raise click.UsageError(f"`{output.suffix}` is not a kind of picture: give a file ending {suffixes}")
    compilation = read_recipe(recipe)
    if output.suffix == ".html":
        save_report(output, explain(compilation, "plan", tensor=tensor, format="html"))
        click.echo(f"{output}: the recipe, its graphs and its plan")
        return
    picture = recipe_picture(compilation.recipe) if tensor is None else tensor_picture(compilation.optimized, tensor)
    save_report(output, writers[output.suffix](picture))
    click.echo(f"{output}: {len(picture.nodes)} nodes, {len(picture.edges)} edges")
