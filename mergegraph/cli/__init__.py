"""The command line."""

from __future__ import annotations

import gc
import os
import signal
import sys


def main() -> None:
    """Run the command that the process was started with."""
    _open_closed_streams()
    # What is loaded is hundreds of thousands of objects and no garbage: to look through them time and again, and once
    # more before the process ends, takes a quarter of a small merge. What works for long has the collector resumed.
    gc.disable()
    try:
        from mergegraph.cli.app import run

        status = run(sys.argv[1:])
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        status = 130
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        # What is left is Python's own end, in which an interrupt would show a traceback.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    gc.freeze()
    sys.exit(status)


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
