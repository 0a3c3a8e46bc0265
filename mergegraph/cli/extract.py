"""`mergegraph extract-lora`: an adapter from a fine-tune."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mergegraph.cli.options import memory_option, workers_option
from mergegraph.cli.progress import downloading, progress
from mergegraph.cli.show import show_diagnostics
from mergegraph.diagnostics import escape

RANK = 32


@click.command("extract-lora")
@click.argument("model")
@click.option("--base", required=True, metavar="MODEL", help="The model that was fine-tuned.")
@click.option(
    "--rank",
    type=click.IntRange(1, 1 << 20),
    metavar="N",
    help=f"Rank of the adapter; at most, with --energy. [default: {RANK}]",
)
@click.option(
    "--energy",
    type=click.FloatRange(0, 1, min_open=True),
    metavar="SHARE",
    help="Share of each change to keep, such as 0.9.",
)
@click.option("--include", multiple=True, metavar="GLOB", help="Only tensors whose names match; may be repeated.")
@click.option("--exclude", multiple=True, metavar="GLOB", help="Leave out tensors whose names match; may be repeated.")
@click.option("-o", "--out", "target", required=True, type=click.Path(path_type=Path), help="Folder of the adapter.")
@memory_option
@workers_option
@click.option("--resume", is_flag=True, help="Go on where an interrupted run stopped.")
@click.option("--overwrite", is_flag=True, help="Replace an adapter that exists, once the new one is complete.")
def command(
    model: str,
    base: str,
    rank: int | None,
    energy: float | None,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    target: Path,
    **settings: Any,
) -> None:
    """Write what MODEL changed of its base as a LoRA adapter.

    It is the nearest one of its rank. Matrices are factored one by one, at the rank that is given, or with --energy at
    the least that keeps such a share of the sum of squares. Norms and biases that differ are kept whole. The same as an
    expression of a recipe, for any model: `save extract_lora(model, base=base, rank=32) to "adapter"`.

    \b
    Example:
        mergegraph extract-lora ./tuned --base ./base --rank 32 -o adapter
    """
    from mergegraph.compiler import Compilation
    from mergegraph.diagnostics import Source
    from mergegraph.merge import Options, merge

    most = rank or (RANK if energy is None else None)
    text = _recipe(model, base, {"rank": most, "energy": energy}, include, exclude, target)
    compilation = Compilation(Source("extract-lora", text), Path())
    compilation.read_tokenizers(settings["memory"])
    show_diagnostics(compilation.warnings())
    with progress("extracting") as planned:
        result = merge(compilation, target, Options(**settings), planned=planned, downloading=downloading)
    show_diagnostics(result.warnings)
    (found,) = result.extracted
    ranks = {part.rank for part in found.parts if part.rank}
    matrices = sum(part.rank > 0 for part in found.parts)
    whole = f", {len(found.parts) - matrices} tensors kept whole" if len(found.parts) > matrices else ""
    sizes = f"{min(ranks)}" if len(ranks) == 1 else f"{min(ranks)} to {max(ranks)}"
    click.echo(f"{escape(str(target))}: {matrices} matrices of rank {sizes}{whole}")


def _recipe(
    model: str,
    base: str,
    settings: dict[str, float | None],
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    target: Path,
) -> str:
    """Return the recipe that the command stands for."""
    from mergegraph.syntax.strings import quote

    cases = [f"{quote(glob)}?: base" for glob in exclude] + [f"{quote(glob)}?: tuned" for glob in include]
    cases.append("_: base" if include else "_: tuned")
    chosen = f"select {{ {', '.join(cases)} }}" if len(cases) > 1 else "tuned"
    given = "".join(f", {name}={value}" for name, value in settings.items() if value is not None)
    return (
        f"base = model({quote(base)})\n"
        f"tuned = model({quote(model)})\n"
        f"save extract_lora({chosen}, base=base{given}) to {quote(str(target))}\n"
    )
