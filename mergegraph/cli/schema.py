"""`mergegraph schema`: the JSON Schema of recipes in YAML."""

from __future__ import annotations

import click


@click.command("schema")
def command() -> None:
    """Print the JSON Schema of recipes in YAML.

    It holds for mergekit's configurations, too; editors use it.

    \b
    Example:
        mergegraph schema > recipe.schema.json
    """
    from mergegraph.grammars import grammar_text

    click.echo(grammar_text("recipe.schema.json"), nl=False)
