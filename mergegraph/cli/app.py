"""All commands together, and what happens when one fails."""

from __future__ import annotations

import errno
import os
import shlex
import signal
import sys
from collections.abc import Iterable, Sequence
from importlib import import_module
from pathlib import Path
from types import FrameType

import click

from mergegraph import __version__
from mergegraph.cli.show import show_diagnostics
from mergegraph.diagnostics import Diagnostic, MergeGraphError

INTERRUPTED = 130
TERMINATED = 143

_COMMANDS = {
    "check": "check",
    "demo": "demo",
    "diff": "diff",
    "explain": "explain",
    "extract-lora": "extract",
    "fmt": "fmt",
    "graph": "graph",
    "import": "convert",
    "inspect": "inspect",
    "lsp": "lsp",
    "methods": "methods",
    "push": "push",
    "run": "merge",
    "schema": "schema",
    "verify": "verify",
}
"""The module of this folder that has the `command`, by name."""


class _Commands(click.Group):
    """Loads the code of a command when that is called for."""

    def list_commands(self, _: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, _: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        found: click.Command = import_module(f"mergegraph.cli.{_COMMANDS[name]}").command
        return found


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="mergegraph")
@click.option(
    "--ops",
    "own",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE.py",
    help="Run a Python file that declares operations of your own with `mergegraph.op`.",
)
def app(own: tuple[Path, ...]) -> None:
    """Compile and run merges of neural-network checkpoints.

    A recipe says what the merged model is:

    \b
        a = model("./a")
        b = model("./b")
        save slerp(a, b, t=0.5) to "merged"

    \b
        mergegraph explain recipe.merge     what it would read, write and need
        mergegraph run recipe.merge         the merge

    Exit codes: 0 done, 1 merge failed, 2 recipe wrong, 3 input missing or bad, 4 not enough memory or disk,
    130 interrupted.
    """
    if own:
        from mergegraph.own import load

        for path in own:
            load(path)


class Terminated(BaseException):
    """Ends a run that was asked to stop by SIGTERM."""


def run(arguments: Sequence[str]) -> int:
    """Run one command and return the exit code of the process."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        _refuse_lost_folder()
        result = app.main(list(arguments), prog_name="mergegraph", standalone_mode=False)
        if not sys.stdout.closed:  # a language server closes it
            sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except MergeGraphError as error:
        show_diagnostics(error.diagnostics)
        return error.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return 2
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        return _stopped("interrupted", arguments, INTERRUPTED)
    except Terminated:
        return _stopped("terminated", arguments, TERMINATED)
    except BrokenPipeError:
        # Whoever reads our output has enough of it; Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except MemoryError:
        click.echo("error: the system gave no more memory; try a smaller `--memory`", err=True)
        return 4
    except OSError as error:
        return _refused(error)
    except Exception as error:
        return _defect(error)


def _refuse_lost_folder() -> None:
    """Refuse to work in a folder that was removed: libraries of torch end the process there without a word."""
    try:
        os.getcwd()
    except OSError:
        help = ("change into one that is",)
        raise MergeGraphError(
            Diagnostic("MG645", "the current folder is not there any more", place=".", help=help)
        ) from None


def _terminate(number: int, _frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)  # a second one ends the process at once
    raise Terminated


def _stopped(how: str, arguments: Iterable[str], code: int) -> int:
    words = list(arguments)
    if _command_of(words) in ("run", "extract-lora"):
        again = shlex.join([*words, *([] if "--resume" in words else ["--resume"])])
        click.echo(f"{how}; nothing is lost, go on with: mergegraph {again}", err=True)
    else:
        click.echo(how, err=True)
    return code


def _command_of(words: list[str]) -> str | None:
    """Return which command the words of a command line call."""
    rest = iter(words)
    for word in rest:
        if word == "--ops":
            next(rest, None)
        elif not word.startswith("-"):
            return word
    return None


def _refused(error: OSError) -> int:
    """Tell what the system refused where no better error was written for it; MERGEGRAPH_DEBUG shows where."""
    if os.environ.get("MERGEGRAPH_DEBUG"):
        raise error
    place = str(error.filename) if error.filename is not None else "standard output"
    reason = error.strerror or str(error)
    status = 4 if error.errno in (errno.ENOSPC, errno.EDQUOT) else 1
    show_diagnostics([Diagnostic("MG645", f"the system refused: {reason}", place=place)])
    return status


def _defect(error: Exception) -> int:
    """Tell of an error that no diagnostic was written for; MERGEGRAPH_DEBUG shows where it happened."""
    if os.environ.get("MERGEGRAPH_DEBUG"):
        raise error
    click.echo(
        f"error[MG999]: a defect of MergeGraph: {type(error).__name__}: {error}\n"
        "  = help: please report it, with the output of the same command under MERGEGRAPH_DEBUG=1",
        err=True,
    )
    return 1
