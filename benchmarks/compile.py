"""Measure what compiling costs: `mergegraph explain` of merges of three fine-tunes, on empty files of real shapes.

    python benchmarks/compile.py [NAME ...] [--merge ties|ramped]

Seconds and peak memory are those of the whole process. What is asked: TIES at the shapes of Llama-3.1-70B in 2 s
besides the start, planned within 2 GB; at those of DeepSeek-V3-671B in 20 s and 1.5 GB, planned within 4 GB.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path

import make_shapes
from measure import measure

HEADER = "".join(f'{name} = model("{name}")\n' for name in make_shapes.MODELS)
MERGES = {
    "ties": "ties(a, b, c, base=base, weight=[0.5, 0.3, 0.2], density=0.5)",
    "ramped": (
        "slerp(ties(a, b, base=base, weight=[ramp(0.2, 0.8, outside=0.5), 0.7], "
        "density=ramp(0.3, 0.9, outside=0.5)), c, t=ramp(0.1, 0.6, 0.9, outside=0.3))"
    ),
}


@dataclass(frozen=True)
class Limits:
    """What is allowed: the budget of the plan, seconds besides the start, and bytes of memory."""

    memory: str
    seconds: float
    peak_bytes: int


LIMITS = {
    "llama-3.1-8b": Limits("2GB", 2.0, 1_500_000_000),
    "llama-3.1-70b": Limits("2GB", 2.0, 1_500_000_000),
    "mixtral-8x22b": Limits("2GB", 2.0, 1_500_000_000),
    "deepseek-v3-671b": Limits("4GB", 20.0, 1_500_000_000),
}


def main() -> int:
    """Print the table; the exit code is 1 where a limit is passed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="which shapes; all by default")
    parser.add_argument("--merge", choices=MERGES, default="ties", help="what to merge")
    parser.add_argument("--runs", type=int, default=3, help="how often; times are medians, peaks maxima")
    options = parser.parse_args()
    start = statistics.median(_start() for _ in range(options.runs))
    print(f"the start alone, `mergegraph --help`: {start:.2f} s\n")
    print("| shapes | tensors | seconds | of which allowed | peak MB | of which allowed | planned peak | units |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|")
    kept = [_row(name, options, start) for name in options.names or make_shapes.KINDS]
    return int(not all(kept))


def _start() -> float:
    return measure([sys.executable, "-m", "mergegraph", "--help"], Path("/dev/null")).seconds


def _row(name: str, options: argparse.Namespace, start: float) -> bool:
    folder, limits = make_shapes.make(name), LIMITS[name]
    recipe, plan = folder / f"{options.merge}.merge", folder / "plan.json"
    recipe.write_text(f'{HEADER}save {MERGES[options.merge]} to "out"\n')
    command = [sys.executable, "-m", "mergegraph", "explain", str(recipe), "--memory", limits.memory, "--workers", "2"]
    text, data = command, [*command, "--format", "json", "-o", str(plan)]
    costs = [measure(text, folder / "log") for _ in range(options.runs)]
    measure(data, folder / "log")
    found = json.loads(plan.read_text())
    seconds = statistics.median(cost.seconds for cost in costs) - start
    peak = max(cost.peak_bytes for cost in costs)
    print(
        f"| {name} | {found['outputs'][0]['tensors']:,} | {seconds:.2f} | {seconds / limits.seconds:.0%} "
        f"| {peak / 1e6:.0f} | {peak / limits.peak_bytes:.0%} | {found['planned_peak_bytes'] / 1e9:.2f} GB "
        f"of {limits.memory} | {found['units']:,} |"
    )
    return seconds <= limits.seconds and peak <= limits.peak_bytes


if __name__ == "__main__":
    sys.exit(main())
