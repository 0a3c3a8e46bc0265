"""Give configurations of mergekit, unchanged, to mergekit 0.1.5 and to `mergegraph run`, and compare what they write.

    python benchmarks/drop_in.py [FILE.yml ...]

Without files: the seventeen of a published study, the shapes of mergekit's own examples, and some more. The models
have 32 layers in float32, and `dtype` is float32 in both tools (Arcee Fusion of mergekit computes in float64: see the
page on compatibility). What mergekit wrote is kept in benchmarks/data/drop_in. Of each configuration the table tells
how far apart any element is, how many are beyond 1e-6 + 1e-5·|value|, and whether the tensors' names and shapes, all
values of config.json as transformers reads it, the vocabulary and the number of layers are the same. The values of
methods that drop elements at random are compared by `random_masks.py`. The exit code is 1 where anything differs.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import mergekit_peer
import numpy as np
from _paths import DATA, RESULTS, ROOT
from families import Tensors, as64, make_family, read_model
from transformers import AutoConfig, AutoTokenizer

FOLDER = DATA / "drop_in"
CONFIGURATIONS = ROOT / "tests" / "fixtures" / "yaml"
SETS = ("study", "published", "others")
MODELS = ("base", "code", "math", "chat")
RANDOM = ("dare_ties", "della", "della_linear")
"""Those of the study that drop elements at random; its `dare_linear` has no density, and drops nothing."""
HEADER = (
    "| configuration | elements | apart | beyond | tensors | config | vocabulary | layers |\n"
    "|---|--:|--:|--:|---|---|---|---|"
)


def main() -> int:
    """Print the table, and keep it in benchmarks/results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE.yml", help="configurations of the models " + NAMES)
    given = parser.parse_args().files
    if not (FOLDER / "base").exists():
        make_family(
            FOLDER, models=MODELS, layers=32, hidden=64, intermediate=128, vocab=256, dtype="float32", ties=False
        )
    files = given or [path for name in SETS for path in sorted((CONFIGURATIONS / name).glob("*.yml"))]
    lines, good = [HEADER], True
    print(HEADER)
    for path in files:
        line, same = _compared(path)
        lines.append(line)
        good &= same
        print(line, flush=True)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "drop_in.md").write_text("\n".join(lines) + "\n")
    return int(not good)


NAMES = ", ".join(f"./{name}" for name in MODELS)


def _compared(path: Path) -> tuple[str, bool]:
    """Return a row of the table, and whether nothing in it differs."""
    text, name = path.read_text(), f"{path.parent.name}/{path.stem}"
    theirs = their_result(name, in_float32(text, exact=True), FOLDER)
    with tempfile.TemporaryDirectory() as folder:
        ours = our_result(in_float32(text, exact=False), FOLDER, Path(folder) / "out")
        apart, beyond, count = _distance(read_model(theirs), read_model(ours))
        same = [one == other for one, other in zip(_facts(theirs), _facts(ours), strict=True)]
        *_, (rows, _), layers = _facts(ours)
    told = ("equal" if one else "DIFFERS" for one in same[:2])
    counts = (f"{value:,}" if one else "DIFFERS" for one, value in zip(same[2:], (rows, layers), strict=True))
    drawn = path.stem in RANDOM
    values = "random | " if drawn else f"{apart:.1e} | {beyond or 'none'}"
    return f"| {name} | {count:,} | {values} | {' | '.join((*told, *counts))} |", all(same) and (drawn or not beyond)


def in_float32(text: str, *, exact: bool) -> str:
    """Return a configuration with float32 in place of its dtype. With `exact`, Arcee Fusion is computed in float64."""
    precise = exact and "arcee_fusion" in text
    return re.sub(r"(?m)^dtype: .*$", "dtype: float64\nout_dtype: float32" if precise else "dtype: float32", text)


def their_result(name: str, text: str, models: Path) -> Path:
    """Return the folder that mergekit wrote for a configuration; run it if it has not been."""
    out = models / "mergekit" / name
    if not out.exists():
        config = out.with_suffix(".yml")
        config.parent.mkdir(parents=True, exist_ok=True)
        config.write_text(text)
        subprocess.run(mergekit_peer.command(config, out), cwd=models, check=True, capture_output=True)
    return out


def our_result(text: str, models: Path, out: Path) -> Path:
    """Return the folder that `mergegraph run` wrote for a configuration beside the models."""
    config = models / "configuration.yml"
    config.write_text(text)
    command = [sys.executable, "-m", "mergegraph", "run", str(config), str(out)]
    subprocess.run(command, check=True, capture_output=True)
    return out


def _distance(theirs: Tensors, ours: Tensors) -> tuple[float, int, int]:
    """Return the largest distance of shared tensors of one shape, how many elements are too far, and of how many."""
    shared = [name for name in theirs if name in ours and theirs[name].shape == ours[name].shape]
    x, y = (np.concatenate([as64(tensors[name]).ravel() for name in shared]) for tensors in (theirs, ours))
    apart = np.abs(x - y)
    return float(apart.max()), int((apart > 1e-6 + 1e-5 * np.abs(x)).sum()), x.size


def _facts(folder: Path) -> tuple[Any, Any, Any, Any]:
    """Return names with shapes and dtypes, the configuration, numbers of rows and of tokens, the number of layers."""
    tensors = read_model(folder)
    config = AutoConfig.for_model(**json.loads((folder / "config.json").read_text("utf-8"))).to_dict()
    shapes = {name: (tuple(tensor.shape), str(tensor.dtype)) for name, tensor in tensors.items()}
    rows = _agreed([shapes["model.embed_tokens.weight"][0][0], config["vocab_size"]])
    layers = _agreed([1 + max(int(name.split(".")[2]) for name in tensors if ".layers." in name), *_promised(config)])
    return shapes, {**config, "transformers_version": ""}, (rows, len(AutoTokenizer.from_pretrained(folder))), layers


def _promised(config: dict[str, Any]) -> Iterable[int]:
    """Yield how many layers the configuration has, once more where there is a list with one entry for each."""
    yield config["num_hidden_layers"]
    yield from (len(value) for key, value in config.items() if key == "layer_types" and value)


def _agreed(numbers: list[int]) -> int:
    """Return what all of the numbers are, which the model directory must not contradict itself about."""
    if len(set(numbers)) > 1:
        raise ValueError(f"the directory contradicts itself: {numbers}")
    return numbers[0]


if __name__ == "__main__":
    sys.exit(main())
