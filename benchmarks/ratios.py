"""Measure every ratio that speed is judged by, and print one Markdown table.

    python benchmarks/ratios.py [--runs 5] [--only METHOD ...] [--without-mergekit] [--without-cold]

For each method, alternately and on the same files in the page cache: mergekit 0.1.5 in float32, the I/O floor
(floor.py: the same bytes read once and written, nothing computed), and MergeGraph with one worker, with two, with two
in little memory, with nothing compiled, and as the first merge of its kind: the others find their loops compiled. Every
figure is that of a whole process, its start included; times are medians, peaks the largest. The start alone is measured
too: that of the interpreter with all libraries, before the first byte is read. At the end the floor and two workers run
once more with no byte of the inputs in the page cache.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import mergekit_peer
from _paths import BENCHMARKS, DATA, RESULTS, ROOT
from measure import Cost, cool, hash_weights, level, measure, median, warm
from options import family_parser
from peers import METHODS, Method

WORK = DATA / "ratios"
LITTLE, MUCH = "700MB", "8GB"
LEVELLED = 2_000_000_000
"""Bytes: more than an output of the default family takes."""
MERGEKIT, FLOOR, START = "mergekit", "floor", "start"


@dataclass(frozen=True)
class Setting:
    """How MergeGraph is run."""

    memory: str
    workers: int
    compiled: bool = True
    first: bool = False

    def __str__(self) -> str:
        workers = f"{self.workers} worker{'s' if self.workers != 1 else ''}"
        kind = ", the first of its kind" if self.first else "" if self.compiled else ", not compiled"
        return f"MergeGraph, {self.memory}, {workers}{kind}"

    def options(self) -> list[str]:
        """Return the options of the command."""
        limits = ["--memory", self.memory, "--workers", str(self.workers)]
        return limits if self.compiled else [*limits, "--no-compile"]


ONE, TWO, TIGHT = Setting(MUCH, 1), Setting(MUCH, 2), Setting(LITTLE, 2)
KERNELS = Setting(MUCH, 1, compiled=False), Setting(MUCH, 2, compiled=False)
FIRST = Setting(MUCH, 1, first=True), Setting(MUCH, 2, first=True)
SETTINGS = (ONE, TWO, TIGHT, *FIRST, *KERNELS)
COLD = (FLOOR, TWO)
IMPORTS = "import gc; gc.disable(); import mergegraph.cli.app, mergegraph.merge, mergegraph.execute.run; gc.freeze()"
"""As the command line does it."""


@dataclass(frozen=True)
class Run:
    """One process of a method: what it took, and the hash of what it wrote."""

    who: object
    cost: Cost
    digest: str


@dataclass(frozen=True)
class Figures:
    """The medians of a method by contender, single runs on a cold cache, and how many different outputs there were."""

    method: str
    costs: dict[object, Cost]
    cold: dict[object, Cost]
    outputs: int


def main() -> int:
    """Print the table, and write it to benchmarks/results."""
    options = _parser().parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    found = [_measured(method, options) for method in METHODS if method.name in options.only]
    text = report(found, options)
    print(text)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"ratios-{datetime.datetime.now(datetime.UTC):%Y%m%d-%H%M%S}.md"
    path.write_text(text)
    print(f"written: {path.relative_to(ROOT)}", file=sys.stderr)
    return 0 if all(figures.outputs == 1 for figures in found) else 1


def _measured(method: Method, options: argparse.Namespace) -> Figures:
    contenders: list[object] = [FLOOR, START, *SETTINGS]
    runs: list[Run] = []
    warm(options.family)
    _run(method, ONE, options)
    for number in range(options.runs):
        if not options.without_mergekit and number < options.mergekit_runs:
            runs.append(_run(method, MERGEKIT, options))
        runs += [_run(method, who, options) for who in contenders]
    present = dict.fromkeys(run.who for run in runs)
    costs = {who: median([run.cost for run in runs if run.who == who]) for who in present}
    cold = [] if options.without_cold else [_cold(method, who, options) for who in COLD]
    outputs = {run.digest for run in (*runs, *cold) if run.who in SETTINGS}
    return Figures(method.name, costs, {run.who: run.cost for run in cold}, len(outputs))


def _cold(method: Method, who: object, options: argparse.Namespace) -> Run:
    cool(options.family)
    return _run(method, who, options)


def _run(method: Method, who: object, options: argparse.Namespace) -> Run:
    out = WORK / "out"
    _remove(out)
    print(f"{method.name}: {_title(who)} …", file=sys.stderr, flush=True)
    command = _command(method, who, options, out)
    level(WORK, LEVELLED)
    cost = measure(command, WORK / f"{method.name}.log")
    digest = hash_weights(out) if who in SETTINGS else ""
    _remove(out)
    return Run(who, cost, digest)


def _remove(out: Path) -> None:
    if out.is_file():
        out.unlink()
    shutil.rmtree(out, ignore_errors=True)


def _command(method: Method, who: object, options: argparse.Namespace, out: Path) -> list[str]:
    family = options.family.resolve()
    if who == MERGEKIT:
        config = WORK / f"{method.name}.yml"
        config.write_text(method.config(family, "float32"))
        return mergekit_peer.command(config, out)
    if who == FLOOR:
        names = dict.fromkeys([*([method.base] if method.base else []), *method.models])
        files = [str(path) for name in names for path in sorted((family / name).glob("*.safetensors"))]
        nbytes = sum(path.stat().st_size for path in (family / method.models[0]).glob("*.safetensors"))
        return [str(options.python), str(BENCHMARKS / "floor.py"), str(out), str(nbytes), *files]
    if who == START:
        return [str(options.python), "-c", IMPORTS]
    assert isinstance(who, Setting)
    recipe = WORK / f"{method.name}.merge"
    recipe.write_text(method.recipe(family))
    loops = WORK / ("cache-of-none" if who.first else "cache")
    if who.first:
        shutil.rmtree(loops, ignore_errors=True)
    command = [str(options.python), "-m", "mergegraph", "run", str(recipe), str(out), *who.options()]
    return ["env", f"XDG_CACHE_HOME={loops}", *command]


def _title(who: object) -> str:
    titles = {MERGEKIT: f"mergekit {mergekit_peer.VERSION}, float32", FLOOR: "I/O floor", START: "start alone"}
    return titles.get(str(who), str(who))


def report(found: Sequence[Figures], options: argparse.Namespace) -> str:
    """Return what was measured, and the ratios with what they should reach, as Markdown."""
    now = datetime.datetime.now(datetime.UTC)
    title = f"{now:%Y-%m-%d %H:%M} UTC, {os.cpu_count()} cores, {platform.platform()}, {options.runs} alternating runs"
    lines = [title, "", "| method | | wall s | CPU s | peak MB |", "|---|---|--:|--:|--:|"]
    lines += [_line(figures.method, who, cost) for figures in found for who, cost in figures.costs.items()]
    lines += [_line(f"{figures.method}, cold", who, cost) for figures in found for who, cost in figures.cold.items()]
    lines += ["", "| method | ratio | measured | to reach |", "|---|---|--:|--:|"]
    lines += [f"| {f.method} | {name} | {value:.2f} | {goal} |" for f in found for name, value, goal in ratios(f)]
    return "\n".join(lines) + "\n"


def _line(method: str, who: object, cost: Cost) -> str:
    return f"| {method} | {_title(who)} | {cost.seconds:.2f} | {cost.cpu_seconds:.2f} | {cost.peak_bytes / 1e6:.0f} |"


FLOORS = {"linear": "≤ 1.5", "slerp": "≤ 1.5", "ties": "≤ 3", "dare_ties": "≤ 3"}
PROCESSOR = {"linear": "≥ 5", "slerp": "≥ 5", "ties": "≥ 20", "dare_ties": "≥ 10"}
WALL = {"linear": "≥ 8", "slerp": "", "ties": "≥ 25", "dare_ties": ""}
TWICE = {"linear": "", "slerp": "", "ties": "≥ 1.7", "dare_ties": ""}


def ratios(figures: Figures) -> Iterator[tuple[str, float, str]]:
    """Yield the name of each ratio of a method, its value, and what it should reach."""
    costs, name = figures.costs, figures.method
    floor, start, tight = costs[FLOOR], costs[START], costs[TIGHT]
    peer = costs.get(MERGEKIT)
    for kind, (lone, pair) in (("", (ONE, TWO)), ("the first of its kind: ", FIRST), ("not compiled: ", KERNELS)):
        one, two = costs[lone], costs[pair]
        rest = two.seconds - start.seconds
        yield f"{kind}wall ÷ I/O floor, 2 workers", two.seconds / floor.seconds, FLOORS[name]
        yield f"{kind}the same without the start of the process", rest / floor.seconds, ""
        yield f"{kind}two workers against one, without the start", (one.seconds - start.seconds) / rest, TWICE[name]
        if peer is not None:
            yield f"{kind}CPU, mergekit ÷ one worker", peer.cpu_seconds / one.cpu_seconds, PROCESSOR[name]
            yield f"{kind}wall, mergekit ÷ two workers", peer.seconds / two.seconds, WALL[name]
    yield "wall in little memory ÷ in much", tight.seconds / costs[TWO].seconds, "≤ 1.15"
    if figures.cold:
        yield "wall ÷ I/O floor, 2 workers, cold", figures.cold[TWO].seconds / figures.cold[FLOOR].seconds, ""
    if peer is not None:
        yield "peak, mergekit ÷ little memory", peer.peak_bytes / tight.peak_bytes, "≥ 5"


def _parser() -> argparse.ArgumentParser:
    parser = family_parser(__doc__)
    names = [method.name for method in METHODS]
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="which methods; all by default")
    parser.add_argument("--runs", type=int, default=5, help="alternating runs (default: 5)")
    parser.add_argument("--mergekit-runs", type=int, default=1, help="how many of them with mergekit (default: 1)")
    parser.add_argument("--without-mergekit", action="store_true", help="leave mergekit out")
    parser.add_argument("--without-cold", action="store_true", help="leave the runs on a cold page cache out")
    return parser


if __name__ == "__main__":
    sys.exit(main())
