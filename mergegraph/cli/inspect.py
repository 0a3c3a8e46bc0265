"""`mergegraph inspect`: look at a checkpoint."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import click

from mergegraph.cli.show import show_diagnostics, show_json
from mergegraph.diagnostics import Diagnostic, MergeGraphError, did_you_mean, escape
from mergegraph.sizes import format_size


@click.command("inspect")
@click.argument("model")
@click.option("--tensor", metavar="GLOB", help="List the tensors whose name matches; '*' lists all.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(model: str, tensor: str | None, as_json: bool) -> None:
    """Show what MODEL holds: parameters, types, layers, files. Only headers are read.

    \b
    Example:
        mergegraph inspect ./llama --tensor '*.layers.0.*'
    """
    from mergegraph.checkpoint.checkpoint import open_checkpoint
    from mergegraph.checkpoint.summary import describe

    checkpoint = open_checkpoint(model, relative_to=Path())
    show_diagnostics(checkpoint.warnings)
    summary = describe(checkpoint)
    listed = [t for t in checkpoint.tensors.values() if tensor is not None and fnmatchcase(t.name, tensor)]
    if tensor is not None and not listed:
        help = did_you_mean(tensor, checkpoint.tensors)
        raise MergeGraphError(Diagnostic("MG380", f"no tensor is named like `{escape(tensor)}`", help=help))
    facts: dict[str, Any] = {
        "source": model,
        "parameters": summary.parameters,
        "bytes": summary.nbytes,
        "dtypes": dict(summary.dtypes),
        "stacks": {stack.prefix: stack.count for stack in summary.stacks},
        "tied": summary.tied,
        "files": [{"name": header.path.name, "bytes": header.identity.size} for header in checkpoint.files],
    }
    if as_json:
        rows = [{"name": t.name, "dtype": t.dtype.name, "shape": list(t.shape), "bytes": t.nbytes} for t in listed]
        show_json({**facts, "tensors": rows} if tensor is not None else facts)
        return
    click.echo(f"{escape(model)}: {summary.parameters:,} parameters, {format_size(summary.nbytes)}")
    click.echo("  types   " + ", ".join(f"{name} × {count:,}" for name, count in summary.dtypes.items()))
    click.echo("  layers  " + (", ".join(f"{escape(p)} × {n}" for p, n in facts["stacks"].items()) or "none found"))
    if summary.tied:
        click.echo("  tied    the output head is the input embedding")
    for file in facts["files"]:
        click.echo(f"  file    {escape(file['name'])}, {format_size(file['bytes'])}")
    for t in listed:
        click.echo(f"{escape(t.name)}  {t.dtype}{list(t.shape)}  {format_size(t.nbytes)}")
