"""The command line."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command that the process was started with."""
    _open_closed_streams()
    try:
        from mergegraph.cli.app import run
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(130)
    sys.exit(run(sys.argv[1:]))


def _open_closed_streams() -> None:
    """Send to nowhere what is written to streams that were closed at the start.

    Else the next file that is opened would have the number of one, and might be written to in its place.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, os.fdopen(number, "r" if name == "stdin" else "w", closefd=False))
