"""The command line."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command that the process was started with."""
    from mergegraph.cli.app import run

    sys.exit(run(sys.argv[1:]))
