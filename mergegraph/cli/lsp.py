"""`mergegraph lsp`: help in editors."""

from __future__ import annotations

from importlib.util import find_spec

import click

from mergegraph.collector import resume_collection


@click.command("lsp")
def command() -> None:
    """Serve an editor: findings, completions, definitions.

    The editor starts it. It explains and formats, too, speaks the Language Server Protocol over standard input and
    output, and needs the extra `lsp`.

    \b
    Example, for Neovim:
        vim.lsp.config("mergegraph", { cmd = { "mergegraph", "lsp" }, filetypes = { "mergegraph" } })
    """
    if find_spec("pygls") is None:
        raise click.UsageError("this needs the extra `lsp`: pip install 'mergegraph[lsp]'")
    from mergegraph.language_server.server import make_server

    resume_collection()
    make_server().start_io()
