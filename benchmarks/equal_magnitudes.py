"""Compare what mergekit 0.1.5 and MergeGraph trim where many magnitudes are equal, by the study's configurations.

    python benchmarks/equal_magnitudes.py

A fifth of each change of these models of 32 layers has one magnitude, and a fifth is zero. Each model is merged with
the base alone, so that the elements that are kept can be seen. Exactly so many must be kept of every tensor in both
tools, and where the tools keep others, these must be equal to those in magnitude. The exit code is 1 otherwise.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from _paths import RESULTS
from drop_in import CONFIGURATIONS, FOLDER, our_result, their_result
from families import Array, as64, make_family, read_model

MODELS = FOLDER / "equal"
CASES = ("study/ties", "study/breadcrumbs", "study/breadcrumbs_ties", "published/bio_merge")
HEADER = "| configuration | model | kept by mergekit | kept here | others kept | of another magnitude |\n"


def main() -> int:
    """Print the table, and keep it in benchmarks/results."""
    if not MODELS.exists():
        names, sizes = ("base", "code", "math", "chat"), {"hidden": 64, "intermediate": 128, "vocab": 256}
        make_family(MODELS, models=names, layers=32, dtype="float32", **sizes)
    lines, good = [HEADER + "|---|---|--:|--:|--:|--:|"], True
    print(lines[0])
    for case in CASES:
        for config, model in _alone(yaml.safe_load((CONFIGURATIONS / f"{case}.yml").read_text())):
            theirs, ours, others, wrong = _compared(f"equal/{Path(case).stem}_{model}", config, model)
            told = f"{others:,} | {wrong or 'none'}"
            lines.append(f"| {case} | {model} | {theirs.sum():,} | {ours.sum():,} | {told} |")
            good &= not wrong and np.array_equal(theirs, ours)
            print(lines[-1], flush=True)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "equal_magnitudes.md").write_text("\n".join(lines) + "\n")
    return int(not good)


def _alone(config: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the configuration with each of its models alone, and the model's name."""
    modules = config.pop("modules", None)
    models = modules["default"]["slices"][0]["sources"] if modules else config["models"]
    chosen = [{key: model[key] for key in ("model", "parameters")} for model in models if "parameters" in model]
    return [
        (json.dumps({**config, "models": [model], "dtype": "float32"}, indent=2), model["model"][2:])
        for model in chosen
    ]


def _compared(name: str, config: str, model: str) -> tuple[Array, Array, int, int]:
    """Return how many elements of each tensor either tool keeps, how many others, and how many it should not have.

    Others may be chosen among equals at a limit only. The limits of a tensor are one, or two where outliers go too.
    """
    theirs = read_model(their_result(name, config, MODELS))
    with tempfile.TemporaryDirectory() as folder:
        ours = read_model(our_result(config, MODELS, Path(folder) / "out"))
    base, other = (read_model(MODELS / each) for each in ("base", model))
    counts, others, wrong = [], 0, 0
    for key, values in base.items():
        change = as64(other[key]) - as64(values)
        one, two = (as64(merged[key]) != as64(values) for merged in (theirs, ours))
        counts.append((one.sum(), two.sum()))
        others += int((one & ~two).sum())
        alone, instead = (np.sort(np.abs(change[mask])) for mask in (one & ~two, two & ~one))
        wrong += int(alone.size != instead.size or (alone != instead).sum())
    first, second = np.array(counts).T
    return first, second, others, wrong


if __name__ == "__main__":
    sys.exit(main())
