"""Compare MergeGraph with mergekit 0.1.5: the same files, the same run, one Markdown table.

For each method both tools merge the family that make_family.py writes, one after the other. Wall time, CPU time of all
threads, and peak resident memory (VmHWM: memory-mapped pages of the inputs count) are those the kernel reports for the
process, its start included. Inputs are in the page cache. The exit code is 1 when a run of MergeGraph exceeds its
budget, or when its budgets and workers do not all give the same bytes.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import mergekit_peer
from _paths import DATA, RESULTS, ROOT
from measure import Cost, hash_weights, measure, median, warm
from options import family_parser

WORK = DATA / "peers"
MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Method:
    """The same merge for both tools. `parameters` are mergekit's, one mapping per model."""

    name: str
    models: tuple[str, ...]
    base: str | None
    parameters: tuple[dict[str, float], ...]
    top: dict[str, float]
    expression: str

    def config(self, family: Path, dtype: str) -> str:
        """Return mergekit's configuration file; JSON is YAML."""
        models = [
            {"model": str(family / name), "parameters": values}
            for name, values in zip(self.models, self.parameters, strict=True)
        ]
        top = {"base_model": str(family / self.base)} if self.base else {}
        tail = {"parameters": self.top, "dtype": dtype, "out_dtype": "bfloat16"}
        return json.dumps({"merge_method": self.name, **top, "models": models, **tail}, indent=1)

    def recipe(self, family: Path) -> str:
        """Return MergeGraph's recipe."""
        used = dict.fromkeys([*([self.base] if self.base else []), *self.models])
        bindings = "\n".join(f'{name} = model("{family / name}")' for name in used)
        return f'seed 42\n\n{bindings}\n\nsave {self.expression} to "out" with dtype="bfloat16"\n'


THREE = ("a", "b", "c")
WEIGHTS = ({"weight": 0.5}, {"weight": 0.3}, {"weight": 0.2})
SPARSE = tuple(weight | {"density": 0.5} for weight in WEIGHTS)
OURS = "a, b, c, base=base, weight=[0.5, 0.3, 0.2], density=0.5"
METHODS = (
    Method("linear", THREE, None, WEIGHTS, {}, "linear(a, b, c, weight=[0.5, 0.3, 0.2])"),
    Method("slerp", ("a", "b"), "a", ({}, {}), {"t": 0.4}, "slerp(a, b, t=0.4)"),
    Method("ties", THREE, "base", SPARSE, {}, f"ties({OURS})"),
    Method("dare_ties", THREE, "base", SPARSE, {}, f"dare_ties({OURS})"),
)


@dataclass(frozen=True)
class Contender:
    """One tool in one setting. Without a budget it is mergekit."""

    memory: str | None = None
    workers: int | None = None

    @property
    def title(self) -> str:
        """What the table calls it."""
        if self.memory is None:
            return f"mergekit {mergekit_peer.VERSION}"
        return f"MergeGraph, {self.memory}, {self.workers} worker{'s' if self.workers != 1 else ''}"

    def budget(self) -> float:
        """Return the promised bytes; infinite for mergekit, which promises none."""
        if self.memory is None:
            return float("inf")
        unit = {"MB": MEGABYTE, "GB": 1000 * MEGABYTE}[self.memory[-2:]]
        return float(self.memory[:-2]) * unit


MERGEKIT = Contender()


@dataclass(frozen=True)
class Row:
    """The median of one contender at one method."""

    method: str
    contender: Contender
    cost: Cost
    hashes: tuple[str, ...]


def main(arguments: list[str] | None = None) -> int:
    """Run the comparison; print the table, and what was not as promised."""
    options = _parser().parse_args(arguments)
    methods = [method for method in METHODS if method.name in options.methods]
    contenders = [contender for contender in _contenders(options) if options.only in (None, _tool(contender))]
    rows = list(_compare(methods, contenders, options))
    print(table(rows))
    failures = list(broken(rows))
    for failure in failures:
        print(f"FAILED: {failure}")
    _save(rows, options)
    return 1 if failures else 0


def _contenders(options: argparse.Namespace) -> Iterator[Contender]:
    yield MERGEKIT
    for memory in options.memory:
        for workers in options.workers:
            yield Contender(memory, workers)


def _tool(contender: Contender) -> str:
    return "mergekit" if contender == MERGEKIT else "mergegraph"


def _compare(methods: Sequence[Method], contenders: Sequence[Contender], options: argparse.Namespace) -> Iterator[Row]:
    WORK.mkdir(parents=True, exist_ok=True)
    for method in methods:
        warm(options.family)
        results = [[_run(method, contender, options) for contender in contenders] for _ in range(options.runs)]
        for contender, runs in zip(contenders, zip(*results, strict=True), strict=True):
            costs, hashes = zip(*runs, strict=True)
            yield Row(method.name, contender, median(costs), tuple(dict.fromkeys(hashes)))


def _run(method: Method, contender: Contender, options: argparse.Namespace) -> tuple[Cost, str]:
    """Merge once; return the cost and the hash of the output, which is deleted."""
    out = WORK / "out"
    shutil.rmtree(out, ignore_errors=True)
    command = _command(method, contender, options, out)
    print(f"{method.name}: {contender.title} …", file=sys.stderr, flush=True)
    cost = measure(command, WORK / f"{method.name}.log")
    digest = hash_weights(out)
    shutil.rmtree(out)
    return cost, digest


def _command(method: Method, contender: Contender, options: argparse.Namespace, out: Path) -> list[str]:
    family = options.family.resolve()
    if contender == MERGEKIT:
        config = WORK / f"{method.name}.yml"
        config.write_text(method.config(family, options.peer_dtype))
        return mergekit_peer.command(config, out)
    recipe = WORK / f"{method.name}.merge"
    recipe.write_text(method.recipe(family))
    limits = ["--memory", str(contender.memory), "--workers", str(contender.workers)]
    return [str(options.python), "-m", "mergegraph", "run", str(recipe), str(out), *limits]


def table(rows: Sequence[Row]) -> str:
    """Return the Markdown table. Ratios are mergekit's figure over the row's: above 1 the row needs less."""
    peers = {row.method: row.cost for row in rows if row.contender == MERGEKIT}
    lines = [
        "| method | tool | wall s | CPU s | peak MB | wall ratio | CPU ratio | memory ratio | output |",
        "|---|---|--:|--:|--:|--:|--:|--:|---|",
    ]
    return "\n".join([*lines, *(_line(row, peers.get(row.method)) for row in rows)])


def _line(row: Row, peer: Cost | None) -> str:
    cost = row.cost
    figures = [f"{cost.seconds:.1f}", f"{cost.cpu_seconds:.1f}", f"{cost.peak_bytes / MEGABYTE:.0f}"]
    ratios = ["", "", ""]
    if peer is not None and row.contender != MERGEKIT:
        pairs = zip(asdict(peer).values(), asdict(cost).values(), strict=True)
        ratios = [f"{theirs / ours:.1f}×" for theirs, ours in pairs]
    hashes = " ".join(f"`{digest[:12]}`" for digest in row.hashes)
    return f"| {' | '.join([row.method, row.contender.title, *figures, *ratios, hashes])} |"


def broken(rows: Sequence[Row]) -> Iterator[str]:
    """Yield every promise of MergeGraph that the rows do not keep."""
    ours = [row for row in rows if row.contender != MERGEKIT]
    for row in ours:
        if row.cost.peak_bytes > row.contender.budget():
            peak = row.cost.peak_bytes / MEGABYTE
            yield f"{row.method}, {row.contender.title}: peak {peak:.0f} MB is over the budget"
    for method in dict.fromkeys(row.method for row in ours):
        hashes = {digest for row in ours if row.method == method for digest in row.hashes}
        if len(hashes) > 1:
            yield f"{method}: {len(hashes)} different outputs"


def _save(rows: Sequence[Row], options: argparse.Namespace) -> None:
    """Write the figures as JSON to benchmarks/results."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    now = datetime.datetime.now(datetime.UTC)
    record = {
        "when": now.isoformat(timespec="seconds"),
        "machine": {"cores": os.cpu_count(), "platform": platform.platform()},
        "family": json.loads((options.family / "family.json").read_text()),
        "runs": options.runs,
        "mergekit": {"version": mergekit_peer.VERSION, "flags": mergekit_peer.FLAGS, "dtype": options.peer_dtype},
        "rows": [asdict(row) for row in rows],
    }
    path = RESULTS / f"peers-{now:%Y%m%d-%H%M%S}.json"
    path.write_text(json.dumps(record, indent=2) + "\n")
    print(f"\nwritten: {path.relative_to(ROOT)}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = family_parser(__doc__)
    names = [method.name for method in METHODS]
    parser.add_argument("--methods", nargs="+", choices=names, default=names, help="what to merge; all by default")
    parser.add_argument("--runs", type=int, default=1, help="alternating runs; medians, and largest peaks (default: 1)")
    parser.add_argument("--memory", nargs="+", default=["700MB", "8GB"], help="budgets (default: 700MB 8GB)")
    parser.add_argument("--workers", nargs="+", type=int, default=[2, 1], help="workers (default: 2 1)")
    parser.add_argument("--only", choices=["mergekit", "mergegraph"], default=None, help="run one of the tools")
    parser.add_argument("--peer-dtype", default="bfloat16", help="what mergekit computes in (default: bfloat16)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
