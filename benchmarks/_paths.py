"""Make the test helpers importable, and name the folders that the benchmarks use."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BENCHMARKS = ROOT / "benchmarks"
DATA = BENCHMARKS / "data"
RESULTS = BENCHMARKS / "results"
GOLDEN = ROOT / "tests" / "fixtures" / "mergekit"
MERGEKIT_VENV = ROOT / ".venv-mergekit"

sys.path.insert(0, str(ROOT / "tests" / "support"))
