"""Options and arguments that several commands take."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from mergegraph.sizes import parse_size

F = TypeVar("F", bound=Callable[..., Any])


class Size(click.ParamType[int | None]):
    """A number of bytes such as `2GB`, or `auto`."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        """Return the number of bytes, None for `auto`."""
        if value is None or isinstance(value, int) or value == "auto":
            return value if isinstance(value, int) else None
        try:
            return parse_size(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


recipe_argument = click.argument("recipe", type=click.Path(path_type=Path))


def format_option(command: F) -> F:
    """Add `--format`."""
    forms = click.Choice(["text", "json"])
    return click.option("--format", "form", type=forms, default="text", show_default=True, help="How to print it.")(
        command
    )


def memory_option(command: F) -> F:
    """Add `--memory`."""
    return click.option(
        "--memory",
        type=Size(),
        default="auto",
        metavar="SIZE",
        show_default=True,
        help="Most memory of the whole process, such as 700MB or 2GiB; auto is four fifths of what is free.",
    )(command)


def workers_option(command: F) -> F:
    """Add `--workers`."""
    return click.option(
        "--workers",
        type=click.IntRange(1, 1024),
        metavar="N",
        help="Units to run at a time.  [default: as many as processors]",
    )(command)


def compile_option(command: F) -> F:
    """Add `--compile` and `--no-compile`."""
    return click.option(
        "--compile/--no-compile",
        default=None,
        help="Compile the arithmetic with the C compiler of this machine: faster, and the same bytes. By default where "
        "there is one, and enough to do.",
    )(command)


def exact_option(command: F) -> F:
    """Add `--no-optimize`."""
    return click.option(
        "--optimize/--no-optimize",
        "exact",
        default=True,
        show_default=True,
        help="Run the passes that only make a merge cheaper; they change no byte of it.",
    )(command)
