"""Measure both ways to look at inputs more than once: held in memory, or read again from the page cache.

    python benchmarks/strategies.py [METHOD ...] [--runs 3]

Each method of methods.py merges the family of make_family.py in both ways, alternately, with one worker and with two.
Times are those of the merge without the start of the process, the best of several. What the planner chooses has a star;
the rates of mergegraph/plan/strategy.py that it chooses by are to explain the differences.
"""

from __future__ import annotations

import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from measure import warm
from methods import HEADER, METHODS, NAMES
from options import family_parser

from mergegraph.compiler import Compilation
from mergegraph.diagnostics import Source
from mergegraph.merge import Options, merge
from mergegraph.plan import strategy
from mergegraph.plan.plan import Compute, Plan

MEMORY = 8_000_000_000
WORKERS = (1, 2)
RATES = {"held": 0.0, "streamed": 1.0}
"""What to hold a byte is made to cost, so that inputs are held or are not."""


@dataclass(frozen=True)
class Took:
    """What a merge took: seconds on the clock and of the processors, and the bytes that it read."""

    wall: float
    processor: float
    bytes_read: int


def main() -> int:
    """Print the table."""
    parser = family_parser(__doc__)
    parser.add_argument("names", nargs="*", metavar="METHOD", help="which to measure; all by default")
    parser.add_argument("--runs", type=int, default=3, help="how often (default: 3)")
    options = parser.parse_args()
    for name in NAMES:
        warm(options.family / name)
    print("| method | way | read | 1 worker, wall | CPU | 2 workers, wall | CPU |")
    print("|---|---|--:|--:|--:|--:|--:|")
    for name in options.names or METHODS:
        _print_rows(name, options.family, options.runs)
    return 0


def _print_rows(name: str, family: Path, runs: int) -> None:
    chosen = _chosen(name, family)
    if not chosen:
        return
    found: dict[tuple[str, int], list[Took]] = {}
    for run in range(runs + 1):
        for way, rate in RATES.items():
            for workers in WORKERS:
                took = _merge(name, family, workers, rate)
                if run:  # The first compiles the loops.
                    found.setdefault((way, workers), []).append(took)
    for way in RATES:
        best = [min(found[way, n], key=lambda took: took.wall) for n in WORKERS]
        figures = " | ".join(f"{took.wall:.2f} | {took.processor:.2f}" for took in best)
        star = "\\*" if way == chosen else ""
        print(f"| {name} | {way}{star} | {best[0].bytes_read / 1e9:.2f} GB | {figures} |", flush=True)


def _chosen(name: str, family: Path) -> str:
    """Return how most units run that look at their inputs more than once; nothing if none does."""
    plan: Plan = _compilation(name, family).plan(MEMORY, 1)
    units = [u for u in plan.units if isinstance(u, Compute) and u.window >= strategy.STREAM_WINDOW]
    held = [u.resident for u in units if len(plan.programs[u.program].phases) > 1]
    return "" if not held else "held" if sum(held) > len(held) / 2 else "streamed"


def _compilation(name: str, family: Path) -> Compilation:
    return Compilation(Source("benchmark", f'{HEADER}save {METHODS[name]} to "out"'), family)


def _merge(name: str, family: Path, workers: int, rate: float) -> Took:
    out = family / "out"
    shutil.rmtree(out, ignore_errors=True)
    kept, strategy.HELD = strategy.HELD, rate
    wall, processor = time.perf_counter(), time.process_time()
    result = merge(_compilation(name, family), out, Options(workers=workers, memory=MEMORY))
    took = Took(time.perf_counter() - wall, time.process_time() - processor, result.bytes_read)
    strategy.HELD = kept
    shutil.rmtree(out)
    return took


if __name__ == "__main__":
    sys.exit(main())
