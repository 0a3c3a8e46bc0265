"""`mergegraph push`: an output to the Hub."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from mergegraph.cli.show import colour_wanted
from mergegraph.diagnostics import escape

private_option = click.option("--private", is_flag=True, help="Make the repository private, if it is new.")


@click.command("push")
@click.argument("out", type=click.Path(path_type=Path))
@click.argument("repository")
@private_option
@click.option("--overwrite", is_flag=True, help="Replace the weights of a repository that holds some.")
def command(out: Path, repository: str, private: bool, overwrite: bool) -> None:
    """Upload OUT, a finished output, to the Hugging Face Hub.

    OUT is verified before, and goes to REPOSITORY in one commit. The repository is made if there is none.

    \b
    Example:
        mergegraph push out/ties me/ties --private
    """
    push(out, repository, private=private, overwrite=overwrite)


def push(out: Path, repository: str, *, private: bool, overwrite: bool = False) -> None:
    """Upload an output, and say where it is."""
    from mergegraph.write.push import push as upload

    bars = colour_wanted(sys.stderr)
    pushed = upload(out, repository, private=private, overwrite=overwrite, bars=bars)
    click.echo(f"{escape(str(out))}: pushed to {escape(pushed.repository)}, {escape(pushed.url)}", err=True)
