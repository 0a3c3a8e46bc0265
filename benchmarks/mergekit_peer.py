"""Install and call mergekit 0.1.5 in an environment of its own. It is used as a program, never imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from _paths import MERGEKIT_VENV, ROOT

VERSION = "0.1.5"
FLAGS = ("--quiet", "--random-seed", "42")
"""How it is run: on the CPU, in its default settings otherwise (tensors are loaded lazily from safetensors anyway)."""


def install() -> Path:
    """Make the environment if it is not there; return the path of `mergekit-yaml`."""
    program = MERGEKIT_VENV / "bin" / "mergekit-yaml"
    if not program.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(MERGEKIT_VENV)], check=True)
        pip = [str(MERGEKIT_VENV / "bin" / "pip"), "install", "-q", "-c", str(ROOT / "constraints.txt")]
        subprocess.run([*pip, "torch", f"mergekit=={VERSION}"], check=True)
    return program


def command(config: Path, out: Path) -> list[str]:
    """Return the command line that merges a configuration."""
    return [str(install()), str(config), str(out), *FLAGS]
