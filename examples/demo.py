"""Merge two real sentence models: show the plan, run it, show what it cost, and check the result."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parent
RECIPE = EXAMPLES / "minilm.merge"


def main() -> int:
    """Run the steps one after the other; return the exit code of the first that fails."""
    print(f"{RECIPE.read_text()}\n$ mergegraph explain examples/minilm.merge", flush=True)
    explained = subprocess.run([*MERGEGRAPH, "explain", str(RECIPE)], check=False)
    if explained.returncode:
        return explained.returncode
    print("\n$ mergegraph run examples/minilm.merge --overwrite --json", flush=True)
    done = subprocess.run(
        [*MERGEGRAPH, "run", str(RECIPE), "--overwrite", "--json"], stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        return done.returncode
    print(f"{figures(report(done.stdout))}\n\n$ python examples/check_minilm.py out/minilm", flush=True)
    return subprocess.run([sys.executable, str(EXAMPLES / "check_minilm.py"), "out/minilm"], check=False).returncode


MERGEGRAPH = (sys.executable, "-m", "mergegraph")


def report(stdout: str) -> dict[str, float]:
    """Return the JSON object that a run's output ends with."""
    text = "\n" + stdout
    run: dict[str, float] = json.loads(text[text.rindex("\n{") :])
    return run


def figures(run: dict[str, float]) -> str:
    """Return the measured figures of a run as lines of text; sizes in MB of 10⁶ bytes."""
    sizes = {
        "read": "bytes_read",
        "written": "bytes_written",
        "planned peak": "planned_peak_bytes",
        "measured peak": "peak_rss_bytes",
    }
    lines = [f"{'seconds':<14} {run['seconds']:8.2f}", f"{'units':<14} {run['units']:8}"]
    return "\n".join([*lines, *(f"{title:<14} {run[key] / 1e6:8.1f} MB" for title, key in sizes.items())])


if __name__ == "__main__":
    sys.exit(main())
