"""`mergegraph verify`: check an output against its manifest."""

from __future__ import annotations

from pathlib import Path

import click

from mergegraph.cli.options import format_option
from mergegraph.cli.progress import reading_progress
from mergegraph.cli.show import as_json, show_diagnostics, show_json
from mergegraph.diagnostics import Diagnostic, escape
from mergegraph.sizes import format_size


@click.command("verify")
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--inputs",
    "folder",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Check too that the models merged are as they were; FOLDER is that of the recipe, where their paths begin.",
)
@format_option
def command(out: Path, folder: Path | None, form: str) -> int:
    """Check OUT, a finished output, against its manifest.

    It must be complete, and every tensor and file must have the checksum that the manifest states.

    \b
    Example:
        mergegraph verify out/ties
        mergegraph verify out/ties --inputs .
    """
    from mergegraph.write.verify import verify_directory

    with reading_progress("verifying") as started:
        found = verify_directory(out, started)
    good = not any(diagnostic.severity == "error" for diagnostic in found)
    if good and folder is not None:
        found += _inputs(out, folder)
        good = not any(diagnostic.severity == "error" for diagnostic in found)
    if form == "json":
        show_json([as_json(diagnostic) for diagnostic in found])
        return int(not good)
    show_diagnostics(found)
    if good:
        click.echo(f"{escape(str(out))}: {_summary(out, inputs=folder is not None)}")
    return int(not good)


def _inputs(out: Path, folder: Path) -> tuple[Diagnostic, ...]:
    from mergegraph.write.verify import read_manifest, verify_inputs

    return verify_inputs(read_manifest(out), folder)


def _summary(out: Path, *, inputs: bool) -> str:
    from mergegraph.report.spelling import counted
    from mergegraph.write.verify import read_manifest

    manifest = read_manifest(out)
    counts = f"{counted(len(manifest.tensors), 'tensor')} in {counted(len(manifest.shards), 'file')}"
    text = f"complete, all checksums agree ({counts}, {format_size(manifest.nbytes)})"
    return f"{text}; {counted(len(manifest.inputs), 'input')} as merged" if inputs else text
