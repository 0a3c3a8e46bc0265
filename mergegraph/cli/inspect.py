"""`mergegraph inspect`: look at a checkpoint."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Literal

import click

from mergegraph.cli.options import format_option, memory_option, workers_option
from mergegraph.cli.progress import downloading, progress
from mergegraph.cli.show import show_diagnostics, show_json, show_reading


@click.command("inspect")
@click.argument("model")
@click.option("--tensor", metavar="GLOB", help="List the tensors whose name matches; '*' lists all.")
@click.option("--stats", is_flag=True, help="Read the tensors: mean, deviation, extremes, norm, zeros, histogram.")
@format_option
@memory_option
@workers_option
def command(
    model: str,
    tensor: str | None,
    stats: bool,
    form: Literal["text", "json"],
    memory: int | None,
    workers: int | None,
) -> None:
    """Show what MODEL holds: parameters, dtypes, layers, files.

    Of an adapter ranks, scales and what it changes are shown. Only headers are read, but with `--stats`, which reads
    the tensors piece by piece.

    \b
    Example:
        mergegraph inspect ./llama
        mergegraph inspect ./adapter
        mergegraph inspect ./llama --tensor '*.layers.0.*' --stats --memory 1GB
    """
    from mergegraph.checkpoint.adapter import Adapter, open_either
    from mergegraph.checkpoint.checkpoint import download
    from mergegraph.report.adapter import adapter_json, adapter_text
    from mergegraph.report.checkpoint import checkpoint_json, checkpoint_text
    from mergegraph.report.select import matching
    from mergegraph.survey.tensors import survey_tensors

    found = open_either(model, relative_to=Path())
    checkpoint = found.checkpoint if isinstance(found, Adapter) else found
    show_diagnostics(checkpoint.warnings)
    names = checkpoint.tensors if tensor is None else matching(checkpoint.tensors, tensor, "tensor")
    listed = [held for held in checkpoint.tensors.values() if held.name in names]
    statistics = None
    if stats:
        download({checkpoint: {held.file for held in listed}}, downloading)
        with progress("reading") as planned:
            statistics, survey = survey_tensors(checkpoint, listed, memory=memory, workers=workers, planned=planned)
        show_reading(survey)
    shown = listed if stats or tensor is not None else None
    if isinstance(found, Adapter):
        as_json, as_text = partial(adapter_json, found), partial(adapter_text, found)
    else:
        as_json, as_text = partial(checkpoint_json, found), partial(checkpoint_text, found)
    if form == "json":
        show_json(as_json(shown, statistics))
    else:
        click.echo(as_text(shown, statistics))
