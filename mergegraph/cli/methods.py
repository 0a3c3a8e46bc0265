"""`mergegraph methods`: what can be called in a recipe."""

from __future__ import annotations

import click

from mergegraph.cli.show import show_json


@click.command("methods")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")
def command(name: str | None, as_json: bool) -> None:
    """List the methods and operations, or show NAME.

    Of one are shown its signature, definition, formula and paper.

    \b
    Example:
        mergegraph methods ties
    """
    from mergegraph.report.methods import catalogue, describe_method

    entries = catalogue()
    if name is not None:
        click.echo(describe_method(name))
    elif as_json:
        show_json([{"name": e.name, "kind": e.kind, "signature": e.signature, "summary": e.summary} for e in entries])
    else:
        width = max(len(entry.name) for entry in entries)
        for kind in dict.fromkeys(entry.kind for entry in entries):
            click.echo(f"{kind}s")
            for entry in entries:
                if entry.kind == kind:
                    click.echo(f"  {entry.name:<{width}}  {entry.summary}")
