"""Compare every deterministic method with mergekit 0.1.5 on a family of 32 layers, tensor by tensor.

    python benchmarks/compatibility.py [METHOD ...]

mergekit runs in an environment of its own, once per method, in float32 (and in float64 where float32 hides the result);
what it wrote is kept in benchmarks/data/compatibility. The table says how far apart the float32 outputs are at most,
absolutely and relatively to the larger of 1e-6 and the value, and how many elements are beyond 1e-6 + 1e-5·|value|.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mergekit_peer
import numpy as np
from _paths import DATA, RESULTS
from families import as64, make_family, read_model

from mergegraph.compiler import Compilation
from mergegraph.diagnostics import Source
from mergegraph.merge import Options, merge

FOLDER = DATA / "compatibility"
LAYERS = 32
HEADER = "seed 1\n" + "".join(f'{name} = model("./{name}")\n' for name in ("base", "a", "b", "c"))
STACKED = "stack(a.layers[0..24], b.layers[8..32], rest=a)"


@dataclass(frozen=True)
class Case:
    """A merge in both tools. `parameters` are per model, `settings` for all of them."""

    method: str
    expression: str
    models: tuple[str, ...]
    base: str | None = None
    parameters: tuple[dict[str, Any], ...] = ()
    settings: dict[str, Any] | None = None
    dtype: str = "float32"

    def config(self) -> dict[str, Any]:
        """Return the configuration of mergekit."""
        models = [{"model": f"./{name}"} for name in self.models]
        for model, parameters in zip(models, self.parameters, strict=False):
            model["parameters"] = parameters  # type: ignore[assignment]
        config: dict[str, Any] = {"merge_method": self.method, "models": models, "dtype": self.dtype}
        if self.dtype != "float32":
            config["out_dtype"] = "float32"
        return (
            config
            | ({"base_model": f"./{self.base}"} if self.base else {})
            | ({"parameters": self.settings} if self.settings else {})
        )


def _weights(**values: tuple[float, ...]) -> tuple[dict[str, Any], ...]:
    """Return the parameters of each model."""
    return tuple(dict(zip(values, each, strict=True)) for each in zip(*values.values(), strict=True))


AB, ABC = ("a", "b"), ("a", "b", "c")
CASES = {
    "linear": Case("linear", "linear(a, b)", AB, parameters=_weights(weight=(1.0, 1.0))),
    "slerp 0.3": Case("slerp", "slerp(a, b, t=0.3)", AB, "a", settings={"t": 0.3}),
    "slerp 0.5": Case("slerp", "slerp(a, b, t=0.5)", AB, "a", settings={"t": 0.5}),
    "slerp 0.7": Case("slerp", "slerp(a, b, t=0.7)", AB, "a", settings={"t": 0.7}),
    "nuslerp": Case("nuslerp", "nuslerp(a, b, base=base, weight=[0.6, 0.5])", AB, "base", _weights(weight=(0.6, 0.5))),
    "nuslerp by rows": Case(
        "nuslerp",
        "nuslerp(a, b, base=base, weight=[0.6, 0.5], flatten=false)",
        AB,
        "base",
        _weights(weight=(0.6, 0.5)),
        {"nuslerp_flatten": False},
    ),
    "nuslerp by columns": Case(
        "nuslerp",
        "nuslerp(a, b, weight=[0.6, 0.5], flatten=false, row_wise=true)",
        AB,
        None,
        _weights(weight=(0.6, 0.5)),
        {"nuslerp_flatten": False, "nuslerp_row_wise": True},
    ),
    "multislerp": Case(
        "multislerp", "multislerp(a, b, c, weight=[0.5, 0.3, 0.4])", ABC, None, _weights(weight=(0.5, 0.3, 0.4))
    ),
    "multislerp with base": Case(
        "multislerp",
        "multislerp(a, b, c, base=base, weight=[0.5, 0.3, 0.4])",
        ABC,
        "base",
        _weights(weight=(0.5, 0.3, 0.4)),
    ),
    "karcher": Case("karcher", "karcher(a, b, c)", ABC),
    "task_arithmetic": Case(
        "task_arithmetic",
        "task_arithmetic(a, b, base=base, weight=[0.6, 0.4])",
        AB,
        "base",
        _weights(weight=(0.6, 0.4)),
    ),
    "ties": Case(
        "ties",
        "ties(a, b, base=base, weight=[0.8, 0.7], density=0.5)",
        AB,
        "base",
        _weights(weight=(0.8, 0.7), density=(0.5, 0.5)),
        {"normalize": 1.0},
    ),
    "breadcrumbs": Case(
        "breadcrumbs",
        "breadcrumbs(a, b, base=base, weight=0.8, density=0.9, normalize=true)",
        AB,
        "base",
        _weights(weight=(0.8, 0.8), density=(0.9, 0.9), gamma=(0.01, 0.01)),
        {"normalize": 1.0},
    ),
    "breadcrumbs_ties": Case(
        "breadcrumbs_ties",
        "breadcrumbs_ties(a, b, base=base, weight=[0.8, 0.9], density=[0.5, 0.6], normalize=true)",
        AB,
        "base",
        _weights(weight=(0.8, 0.9), density=(0.5, 0.6)),
        {"normalize": 1.0},
    ),
    "model_stock": Case("model_stock", "model_stock(a, b, base=base)", AB, "base"),
    "model_stock by rows": Case(
        "model_stock", "model_stock(a, b, c, base=base, filter_wise=true)", ABC, "base", (), {"filter_wise": True}
    ),
    "sce": Case("sce", "sce(a, b, c, base=base, select_topk=0.4)", ABC, "base", (), {"select_topk": 0.4}),
    "sce of all": Case("sce", "sce(a, b, base=base)", AB, "base"),
    "nearswap": Case("nearswap", "nearswap(base, a, t=0.001)", ("a",), "base", (), {"t": 0.001}),
    "arcee_fusion": Case("arcee_fusion", "arcee_fusion(a, b)", AB, "a", dtype="float64"),
    "arcee_fusion turned": Case("arcee_fusion", "arcee_fusion(b, a)", AB, "b", dtype="float64"),
    "arcee_fusion in float32": Case("arcee_fusion", "arcee_fusion(a, b)", AB, "a"),
    "ram": Case("ram", "ram(a, b, c, base=base, epsilon=0.001)", ABC, "base", (), {"epsilon": 0.001}),
    "ramplus_tl": Case(
        "ramplus_tl", "ramplus_tl(a, b, c, base=base, epsilon=0.001)", ABC, "base", (), {"epsilon": 0.001}
    ),
    "passthrough": Case("passthrough", STACKED, AB),
}


def main() -> int:
    """Print the table, and keep it in benchmarks/results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="METHOD", help="which to compare; all by default")
    names = parser.parse_args().names
    if not (FOLDER / "base").exists():
        make_family(FOLDER, layers=LAYERS, hidden=64, intermediate=128, vocab=256, dtype="float32", ties=False)
    lines = [f"{'merge':<26}{'absolute':>10}{'relative':>10}{'beyond':>9}{'of':>10}"]
    for name, case in CASES.items():
        if not names or name in names:
            lines.append(_compared(name, _theirs(name, case), _ours(case)))
            print(lines[-1], flush=True)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "compatibility.txt").write_text("\n".join(lines) + "\n")
    return 0


def _theirs(name: str, case: Case) -> dict[str, Any]:
    """Return the tensors of mergekit, which is run if it has not been."""
    out = FOLDER / "mergekit" / name.replace(" ", "_")
    if not out.exists():
        config = FOLDER / f"{out.name}.yml"
        text = case.config()
        if case.method == "passthrough":
            ranges = (("./a", [0, 24]), ("./b", [8, 32]))
            text["slices"] = [{"sources": [{"model": m, "layer_range": r}]} for m, r in ranges]
            del text["models"]
        config.write_text(json.dumps(text))
        command = [*mergekit_peer.command(config, out), "--no-copy-tokenizer"]
        subprocess.run(command, cwd=FOLDER, check=True, capture_output=True)
    return dict(read_model(out))


def _ours(case: Case) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        text = f'{HEADER}save {case.expression} to "out"'
        merge(Compilation(Source("comparison", text), FOLDER), Path(folder) / "out", Options())
        return dict(read_model(Path(folder) / "out"))


def _compared(name: str, theirs: dict[str, Any], ours: dict[str, Any]) -> str:
    """Return a line of the table. Of a stack the layers are compared: mergekit takes norm and head from the last."""
    shared = [key for key in theirs if name != "passthrough" or "layers" in key]
    x, y = (np.concatenate([as64(tensors[key]).ravel() for key in shared]) for tensors in (theirs, ours))
    apart = np.abs(x - y)
    relative = apart / np.maximum(np.abs(x), 1e-6)
    beyond = int((apart > 1e-6 + 1e-5 * np.abs(x)).sum())
    return f"{name:<26}{apart.max():>10.1e}{relative.max():>10.1e}{beyond:>9}{x.size:>10}"


if __name__ == "__main__":
    sys.exit(main())
