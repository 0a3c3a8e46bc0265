"""Make families of small random checkpoints on disk, with safetensors' own writer.

Deltas are small beside the base. A fifth of each delta is exactly zero and a fifth is exactly ±2⁻¹⁰, so that the k-th
magnitude falls among equal values; `ties=False` leaves both out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import torch
from llama import Llama, Shape, split, write_config, write_index, write_tokenizer
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

Array = NDArray[np.float64]
Tensors = dict[str, torch.Tensor]

NAMES = ("base", "a", "b", "c")
DTYPES = {
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "float32": torch.float32,
    "float64": torch.float64,
}


def make_family(
    folder: Path,
    *,
    models: Iterable[str] = NAMES,
    layers: int = 2,
    hidden: int = 32,
    intermediate: int = 64,
    vocab: int = 64,
    heads: int = 4,
    kv_heads: int = 2,
    dtype: str = "bfloat16",
    tied: bool = False,
    thin: bool = False,
    shards: int = 1,
    seed: int = 0,
    ties: bool = True,
) -> dict[str, Path]:
    """Write Llama-shaped checkpoints that transformers loads, but `thin` ones; return each model's folder.

    The first is the base.
    """
    model = Llama(layers, hidden, intermediate, vocab, heads, kv_heads, dtype, tied, thin)
    rng = np.random.default_rng(seed)
    base = {name: _base(rng, name, shape) for name, shape in model.shapes().items()}
    folders = {}
    for i, name in enumerate(models):
        values = base if i == 0 else {key: value + _delta(rng, value.shape, ties) for key, value in base.items()}
        folders[name] = _write_llama(folder / name, model, shards, to_tensors(values, dtype))
    return folders


def _base(rng: np.random.Generator, name: str, shape: Shape) -> Array:
    """Return values on a grid of 2⁻¹⁶, to which deltas on that grid are added exactly in float32."""
    centre = 1.0 if "norm" in name else 0.0
    return np.round((centre + rng.normal(0, 0.02, shape)) * 2**16) / 2**16


def _delta(rng: np.random.Generator, shape: Shape, ties: bool) -> Array:
    """Return a small random delta, with zeros and equal magnitudes in it if `ties`."""
    smooth = rng.normal(0, 0.002, shape)
    if not ties:
        return smooth
    kind = rng.random(shape)
    return np.where(kind < 0.2, 0.0, np.where(kind < 0.4, np.sign(smooth) * 2**-10, smooth))


def _write_llama(folder: Path, model: Llama, shards: int, tensors: Tensors) -> Path:
    folder.mkdir(parents=True)
    files = split(model, shards)
    for file, names in files.items():
        save_file({name: tensors[name] for name in names}, folder / file, {"format": "pt"})
    write_index(folder, model, files)
    write_config(folder, model)
    write_tokenizer(folder, model.vocab)
    return folder


def make_odd_family(
    folder: Path, *, models: Iterable[str] = NAMES, dtype: str = "float32", seed: int = 0
) -> dict[str, Path]:
    """Write single-file checkpoints of no architecture, with every shape and value that a merge may trip over."""
    rng = np.random.default_rng(seed)
    base = {name: _base(rng, name, shape) for name, shape in ODD_SHAPES.items()}
    folders = {}
    for i, name in enumerate(models):
        values = base if i == 0 else {key: value + _delta(rng, value.shape, True) for key, value in base.items()}
        tensors = to_tensors(values | _special(i, base["vector"]), dtype) | {"position_ids": torch.arange(9)}
        folders[name] = write_model(folder / name, tensors)
    return folders


ODD_SHAPES: Mapping[str, Shape] = {
    "scalar": (),
    "one": (1,),
    "empty": (0, 4),
    "vector": (17,),
    "matrix": (7, 5),
    "cube": (3, 4, 5),
    "column": (33, 1),
    "wide": (70, 1031),
}


def _special(index: int, direction: Array) -> dict[str, Array]:
    """Return the tensors whose relation between the models is fixed. `index` 0 is the base."""
    return {
        "frozen": direction,
        "zeros": np.zeros(17),
        "zero_base": direction * index,
        "parallel": direction * 2.0**index,
        "antipodal": direction * (0.0, 1.0, -1.0, 0.5)[index % 4],
        "one_zero": direction * (index != 1),
    }


def write_model(folder: Path, tensors: Tensors) -> Path:
    """Write tensors as the one file of a model directory."""
    folder.mkdir(parents=True)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return folder


def to_tensors(values: Mapping[str, Array], dtype: str) -> Tensors:
    """Round float64 arrays to tensors of a dtype."""
    return {name: torch.from_numpy(np.asarray(value)).to(DTYPES[dtype]) for name, value in values.items()}


def read_model(folder: Path) -> Tensors:
    """Read all tensors of a model directory or of one file with safetensors' own reader."""
    files = sorted(folder.glob("*.safetensors")) if folder.is_dir() else [folder]
    return {name: tensor for file in files for name, tensor in load_file(file).items()}


def as64(tensor: torch.Tensor) -> Array:
    """Return a float tensor's exact values as a float64 array of its shape."""
    return tensor.to(torch.float64).numpy()
