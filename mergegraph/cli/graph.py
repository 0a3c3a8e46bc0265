"""`mergegraph graph`: pictures."""

from __future__ import annotations

from pathlib import Path

import click

from mergegraph.cli.options import recipe_argument
from mergegraph.cli.save import save_report


@click.command("graph")
@recipe_argument
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="A .svg, .dot or .mmd file.")
@click.option("--tensor", metavar="GLOB", help="Draw the operations on matching tensors, not those on models.")
def command(recipe: Path, output: Path, tensor: str | None) -> None:
    """Draw the merge graph of RECIPE: by the suffix of the file as SVG, Graphviz or Mermaid text.

    \b
    Example:
        mergegraph graph ties.merge -o ties.svg
        mergegraph graph ties.merge -o q.svg --tensor 'model.layers.0.self_attn.q_proj.weight'
    """
    from mergegraph.compiler import read_recipe
    from mergegraph.report.dot import to_dot
    from mergegraph.report.mermaid import to_mermaid
    from mergegraph.report.picture import recipe_picture, tensor_picture
    from mergegraph.report.svg import to_svg

    writers = {".svg": to_svg, ".dot": to_dot, ".mmd": to_mermaid}
    if output.suffix not in writers:
        raise click.UsageError(f"`{output.suffix}` is not a kind of picture: give a file ending {', '.join(writers)}")
    compilation = read_recipe(recipe)
    picture = recipe_picture(compilation.recipe) if tensor is None else tensor_picture(compilation.optimized, tensor)
    save_report(output, writers[output.suffix](picture))
    click.echo(f"{output}: {len(picture.nodes)} nodes, {len(picture.edges)} edges")
