"""Measure every method on one family: gigabytes of input per second and core, and its time as a multiple of linear's.

    python benchmarks/methods.py [METHOD ...]

The linear merge that a method is compared with has the same inputs: of two models, or of the base and two or three
others. Times are processor seconds of one worker with everything in memory, the best of several runs on a warm cache.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from dataclasses import dataclass

import make_family
from _paths import DATA, RESULTS
from llama import Llama

from mergegraph.compiler import Compilation
from mergegraph.diagnostics import Source
from mergegraph.merge import Options, merge

FAMILY = DATA / "methods"
MODEL = Llama(layers=2, hidden=2048, intermediate=5632, vocab=8192, heads=32, kv_heads=4, dtype="bfloat16")
NAMES = ("base", "a", "b", "c")
HEADER = "seed 1\n" + "".join(f'{name} = model("./{name}")\n' for name in NAMES)

METHODS = {
    "lerp": "lerp(a, b, t=0.3)",
    "slerp": "slerp(a, b, t=0.3)",
    "slerp by rows": 'slerp(a, b, t=0.3, axis="rows")',
    "slerp by columns": 'slerp(a, b, t=0.3, axis="columns")',
    "nuslerp": "nuslerp(a, b, weight=[0.6, 0.5], base=base)",
    "multislerp": "multislerp(a, b, base=base)",
    "karcher": "karcher(a, b)",
    "nearswap": "nearswap(base, a, t=0.001)",
    "arcee_fusion": "arcee_fusion(base, a)",
    "task_arithmetic": "task_arithmetic(a, b, base=base, weight=[0.6, 0.4])",
    "ties": "ties(a, b, base=base, weight=[0.8, 0.7], density=0.5)",
    "dare_linear": "dare_linear(a, b, base=base, density=0.5)",
    "dare_ties": "dare_ties(a, b, base=base, density=[0.8, 0.6])",
    "della_linear": "della_linear(a, b, base=base, density=[0.8, 0.7], epsilon=0.1)",
    "della": "della(a, b, base=base, density=[0.8, 0.7], epsilon=0.1)",
    "breadcrumbs": "breadcrumbs(a, b, base=base, density=0.9)",
    "breadcrumbs_ties": "breadcrumbs_ties(a, b, base=base, density=[0.5, 0.6])",
    "model_stock": "model_stock(a, b, base=base)",
    "model_stock by rows": "model_stock(a, b, base=base, filter_wise=true)",
    "sce": "sce(a, b, base=base, select_topk=0.5)",
    "ram": "ram(a, b, base=base)",
    "ramplus_tl": "ramplus_tl(a, b, base=base)",
    "ties of three": "ties(a, b, c, base=base, density=0.5)",
    "multislerp of three": "multislerp(a, b, c)",
    "karcher of three": "karcher(a, b, c)",
}


@dataclass(frozen=True)
class Row:
    """What one method took: gigabytes of its inputs, its best time and that of the linear merge of these."""

    name: str
    gigabytes: float
    seconds: float
    linear: float


def main() -> int:
    """Print the table, and keep it in benchmarks/results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="METHOD", help="which to measure; all by default")
    parser.add_argument("--runs", type=int, default=5, help="how often (default: 5)")
    options = parser.parse_args()
    make_family.make(FAMILY, MODEL, NAMES, shards=1, seed=1)
    chosen = {name: text for name, text in METHODS.items() if not options.names or name in options.names}
    table = _table([_row(name, text, options.runs) for name, text in chosen.items()])
    print(table)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "methods.txt").write_text(table + "\n")
    return 0


def _row(name: str, text: str, runs: int) -> Row:
    used = [model for model in NAMES if f"({model}" in text or f", {model}" in text or f"={model}" in text]
    linear = f"linear({', '.join(used)})"
    times: dict[str, list[float]] = {linear: [], text: []}
    for _ in range(runs):
        for expression, found in times.items():
            found.append(_seconds(expression))
    size = sum(path.stat().st_size for model in used for path in (FAMILY / model).glob("*.safetensors"))
    return Row(name, size / 1e9, min(times[text]), min(times[linear]))


def _seconds(expression: str) -> float:
    """Return the processor seconds of one merge."""
    out = FAMILY / "out"
    shutil.rmtree(out, ignore_errors=True)
    compilation = Compilation(Source("benchmark", f'{HEADER}save {expression} to "out"'), FAMILY)
    before = time.process_time()
    merge(compilation, out, Options(workers=1))
    return time.process_time() - before


def _table(rows: list[Row]) -> str:
    lines = [f"{'method':<22}{'GB/s':>8}{'× linear':>10}"]
    lines += [f"{row.name:<22}{row.gigabytes / row.seconds:>8.2f}{row.seconds / row.linear:>10.2f}" for row in rows]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
