"""The options that benchmarks share."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from _paths import DATA, ROOT


def family_parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser that knows where the models are and which interpreter runs MergeGraph."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    venv = ROOT / ".venv" / "bin" / "python"
    python = venv if venv.exists() else Path(sys.executable)
    parser.add_argument("--family", type=Path, default=DATA / "family", help="folder that make_family.py wrote")
    parser.add_argument("--python", type=Path, default=python, help="interpreter that runs MergeGraph")
    return parser
