"""Run the command line: `python -m mergegraph`."""

from mergegraph.cli import main

main()
