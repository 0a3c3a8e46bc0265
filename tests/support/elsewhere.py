"""Run a recipe in a process of its own that differs from this one, and compare what both write."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from merging import digest, run

START = "from mergegraph.cli import main\nmain()\n"


def assert_same_bytes_elsewhere(
    recipe: Path, folder: Path, prelude: str, *arguments: str, variables: Mapping[str, str] | None = None
) -> None:
    """Fail unless a process that runs `prelude` first writes below `folder` what this one writes.

    `prelude` finds `arguments` before those of the command; `variables` are added to the environment.
    """
    run(recipe.parent, recipe.read_text(), folder / "here" / "out")
    command = [sys.executable, "-c", prelude + START, *arguments, "run", str(recipe), str(folder / "there" / "out")]
    ended = subprocess.run(command, env={**os.environ, **(variables or {})}, capture_output=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert digest(folder / "there") == digest(folder / "here")
