"""Draw a picture as PNG, by Graphviz."""

from __future__ import annotations

import shutil
import subprocess

from mergegraph.diagnostics import Diagnostic, MergeGraphError
from mergegraph.report.dot import to_dot
from mergegraph.report.picture import Picture

SECONDS = 120
OPTIONS = ("-Tpng", "-Gbgcolor=white", "-Gdpi=144", "-Gpad=0.2")


def to_png(picture: Picture) -> bytes:
    """Return a picture as a PNG file. MergeGraphError (MG671) if Graphviz is not installed or can't draw it."""
    program = shutil.which("dot")
    if program is None:
        raise _failed(
            "a .png is drawn by Graphviz, which is not installed",
            "install it: `apt install graphviz`, `brew install graphviz`",
        )
    try:
        done = subprocess.run([program, *OPTIONS], input=to_dot(picture).encode(), capture_output=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        raise _failed(f"Graphviz did not draw this picture within {SECONDS} seconds") from None
    except OSError as error:
        raise _failed(f"Graphviz can't be started: {error.strerror}") from None
    if done.returncode or not done.stdout.startswith(b"\x89PNG"):
        raise _failed("Graphviz could not draw this picture")
    return done.stdout


def _failed(message: str, *help: str) -> MergeGraphError:
    return MergeGraphError(Diagnostic("MG671", message, help=(*help, "a .svg needs no other program")))
