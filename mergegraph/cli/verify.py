"""`mergegraph verify`: check an output against its manifest."""

from __future__ import annotations

from pathlib import Path

import click

from mergegraph.cli.show import show_diagnostics


@click.command("verify")
@click.argument("out", type=click.Path(path_type=Path))
def command(out: Path) -> int:
    """Check that OUT is complete and that every tensor and file has the checksum that its manifest states.

    \b
    Example:
        mergegraph verify out/ties
    """
    from mergegraph.write.verify import verify_directory

    found = verify_directory(out)
    show_diagnostics(found)
    if any(diagnostic.severity == "error" for diagnostic in found):
        return 1
    click.echo(f"{out}: complete, all checksums agree")
    return 0
