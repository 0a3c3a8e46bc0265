"""Make the pages of the reference that have no other source than the program: its commands and its grammar."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click

from mergegraph.cli.app import app
from mergegraph.grammars import grammar_text

MADE = "<!-- Made by `make fixtures`; do not edit. -->"


def cli_page() -> str:
    """Return all commands with their help."""
    return "\n".join(_commands()) + "\n"


def _commands() -> Iterator[str]:
    context = click.Context(app, info_name="mergegraph", terminal_width=100, **app.context_settings)
    yield f"# Commands\n\n{MADE}\n"
    yield "`mergegraph COMMAND --help` prints the same. Results go to standard output, all else to standard error.\n"
    yield f"```text\n{app.get_help(context)}\n```\n"
    for name in sorted(app.list_commands(context)):
        command = app.get_command(context, name)
        inner = click.Context(command, info_name=name, parent=context, terminal_width=100, max_content_width=100)
        yield f"## {name}\n\n```text\n{command.get_help(inner)}\n```\n"
    yield COMPLETION


COMPLETION = """\
## Completion in shells

The shell completes commands, options and file names after one line in its start-up file:

| shell | file | line |
|---|---|---|
| bash | `~/.bashrc` | `eval "$(_MERGEGRAPH_COMPLETE=bash_source mergegraph)"` |
| zsh | `~/.zshrc` | `eval "$(_MERGEGRAPH_COMPLETE=zsh_source mergegraph)"` |
| fish | `~/.config/fish/completions/mergegraph.fish` | `_MERGEGRAPH_COMPLETE=fish_source mergegraph \\| source` |
"""


def grammar_page() -> str:
    """Return the grammar of recipes in EBNF."""
    rules, words = _sections(grammar_text("recipe.lark"))
    return (
        f"# The grammar of recipes\n\n{MADE}\n\n"
        "In EBNF: `[ ]` is optional, `( )*` is repeated. A statement begins on a line of its own; inside a statement\n"
        "line ends and indentation mean nothing. `#` begins a comment. Between two words there may be space.\n\n"
        f"```ebnf\n{rules}\n```\n\n## Words\n\nRegular expressions; a word of the language is no name.\n\n"
        f"```text\n{words}\n```\n\n"
        "Operators bind as in the rules above, the tightest last: comparison, sum, product, sign. What functions are\n"
        "called, and what they take, is in [methods and operations](methods.md).\n"
    )


def _sections(text: str) -> tuple[str, str]:
    lines = [_plain(line) for line in text.splitlines()]
    reserved = {
        name: f'"{word}"' for line in lines for name, word in re.findall(r"^([A-Z]+):\s*/(\w+)\(\?!\\w\)/$", line)
    }
    rules, words = [], []
    for line in lines:
        name, _, form = line.partition(":")
        if re.match(r"[A-Z]+:", line) and name not in reserved:
            words.append(f"{name:<11}{form.strip()}")
        elif re.match(r"\??[a-z]+:", line):
            rules.append(f"{name.lstrip('?'):<12}::= {_spelled(form.strip(), reserved)}")
        elif line.lstrip().startswith("|"):
            rules.append(f"{'':<14}{_spelled(line.strip(), reserved)}")
    return "\n".join(rules), "\n".join(words)


def _spelled(form: str, reserved: dict[str, str]) -> str:
    return re.sub(r"\b[A-Z]+\b", lambda found: reserved.get(found[0], found[0]), form)


def _plain(line: str) -> str:
    """Return a line of the grammar without comments and without what only the parser needs."""
    kept = re.sub(r"(^|\s)//.*", "", line)
    return re.sub(r"\s+->\s*\w+", "", kept).rstrip()
