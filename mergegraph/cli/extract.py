"""`mergegraph extract-lora`: an adapter from a fine-tune."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mergegraph.cli.options import memory_option
from mergegraph.cli.progress import reading_progress
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
@click.option(
    "--include", multiple=True, metavar="GLOB", help="Factor only matrices whose names match; may be repeated."
)
@click.option("--exclude", multiple=True, metavar="GLOB", help="Leave out matrices whose names match; may be repeated.")
@click.option("-o", "--out", "target", required=True, type=click.Path(path_type=Path), help="Folder of the adapter.")
@memory_option
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
    the least that keeps such a share of the sum of squares. Norms and biases that differ are kept whole.

    \b
    Example:
        mergegraph extract-lora ./tuned --base ./base --rank 32 -o adapter
    """
    from mergegraph.checkpoint.checkpoint import open_checkpoint
    from mergegraph.extract import Wanted, extract, left_out_warning

    tuned, origin = (open_checkpoint(source, relative_to=Path()) for source in (model, base))
    most = rank or (RANK if energy is None else 1 << 20)
    wanted = Wanted(most, energy, include or ("*",), exclude)
    with reading_progress("extracting") as started:
        found = extract(tuned, origin, target, wanted, started=started, **settings)
    show_diagnostics(left_out_warning(found))
    ranks = f"{min(found.ranks)}" if len({*found.ranks}) == 1 else f"{min(found.ranks)} to {max(found.ranks)}"
    whole = f", {len(found.wholes)} tensors kept whole" if found.wholes else ""
    click.echo(f"{escape(str(target))}: {len(found.ranks)} matrices of rank {ranks}{whole}")
