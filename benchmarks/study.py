"""Measure the study: seventeen merges of a base and two fine-tunes of it in one run, against each of them alone.

    python benchmarks/study.py [OUTPUT ...]

The models are those that make_family.py writes. Seconds are those of the whole process, inputs in the page cache. What
is asked of the study: at most eight times the wall time of its dearest merge alone, and at most two and a half times
the bytes of all inputs read.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Sequence

from _paths import DATA
from measure import Cost, measure, warm
from options import family_parser

WORK = DATA / "study"
HEADER = """seed 42

base = model("{folder}/base")
code = model("{folder}/a")
math = model("{folder}/b")

"""
EXPRESSIONS = {
    "linear": "linear(code, math)",
    "task-arithmetic": "task_arithmetic(math, code, base=base, weight=[0.6, 0.4])",
    "ties": "ties(math, code, base=base, weight=[0.8, 0.7], density=0.5)",
    "breadcrumbs": "breadcrumbs(code, math, base=base, weight=0.8, density=0.9, normalize=true)",
    "breadcrumbs-ties": (
        "breadcrumbs_ties(math, code, base=base, weight=[0.8, 0.9], density=[0.5, 0.6], normalize=true)"
    ),
    "nuslerp": "nuslerp(math, code, base=base, weight=[0.6, 0.5])",
    "dare-ties": "dare_ties(math, code, base=base, weight=0.7, density=[0.8, 0.6], normalize=true)",
    "dare-linear": "dare_linear(code, math, base=base, weight=0.5, density=0.5)",
    "della": "della(math, code, base=base, weight=[0.7, 0.5], density=[0.8, 0.7], epsilon=0.1)",
    "della-linear": "della_linear(math, code, base=base, weight=[0.7, 0.5], density=[0.8, 0.7], epsilon=0.1)",
    "arcee-fusion-1": "arcee_fusion(math, code)",
    "arcee-fusion-2": "arcee_fusion(code, math)",
    "model-stock": "model_stock(code, math, base=base)",
    "stacked": "stack(code.layers[0..6], math.layers[2..8], rest=code)",
    "slerp-0.3": "slerp(math, code, t=0.3)",
    "slerp-0.5": "slerp(math, code, t=0.5)",
    "slerp-0.7": "slerp(math, code, t=0.7)",
}


def main() -> int:
    """Print the table; the exit code is 1 where the study takes more than it may."""
    parser = family_parser(__doc__)
    parser.add_argument("alone", nargs="*", metavar="OUTPUT", help="which merges to run alone; all by default")
    parser.add_argument("--memory", default="2GB", help="budget of every run")
    parser.add_argument("--workers", default="2", help="workers of every run")
    options = parser.parse_args()
    alone = options.alone or list(EXPRESSIONS)
    warm(options.family)
    rows = {name: _run([name], options) for name in alone}
    together = _run(list(EXPRESSIONS), options)
    print("| merge | wall s | CPU s | read GB | peak MB |\n|---|--:|--:|--:|--:|")
    for name, (cost, found) in {**rows, "the study": together}.items():
        figures = f"{cost.seconds:.1f} | {cost.cpu_seconds:.1f} | {found['bytes_read'] / 1e9:.2f}"
        print(f"| {name} | {figures} | {cost.peak_bytes / 1e6:.0f} |")
    return _judge(rows, together)


def _judge(rows: dict[str, tuple[Cost, dict[str, int]]], together: tuple[Cost, dict[str, int]]) -> int:
    dearest = max(rows, key=lambda name: rows[name][0].seconds)
    times = together[0].seconds / rows[dearest][0].seconds
    often = together[1]["bytes_read"] / together[1]["input_bytes"]
    print(f"\nthe study takes {times:.1f} times the wall time of {dearest}, and reads the inputs {often:.2f} times")
    return int(times > 8 or often > 2.5)


def _run(names: Sequence[str], options: argparse.Namespace) -> tuple[Cost, dict[str, int]]:
    """Return what it costs to write these outputs in one run, and what `--json` says of it."""
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    saves = [f'save {EXPRESSIONS[name]} to "{name}" with dtype="float16"\n' for name in names]
    recipe, log = WORK / "study.merge", WORK / "log"
    recipe.write_text(HEADER.format(folder=options.family.resolve()) + "".join(saves))
    limits = ["--memory", options.memory, "--workers", options.workers, "--json"]
    command = [str(options.python), "-m", "mergegraph", "run", str(recipe), str(WORK / "out"), *limits]
    cost = measure(command, log)
    found = json.loads(log.read_text()[log.read_text().rindex("{\n") :])
    shutil.rmtree(WORK)
    sizes = sum(
        path.stat().st_size for name in ("base", "a", "b") for path in (options.family / name).glob("*.safetensors")
    )
    return cost, {**found, "input_bytes": sizes}


if __name__ == "__main__":
    sys.exit(main())
