"""Write a family of large Llama-shaped checkpoints: a base and fine-tunes of it, a few megabytes in memory at a time.

The default is four bfloat16 models of 0.97 GB in two shards each, in benchmarks/data/family. The same options always
give the same bytes; a family that is already there is left alone.
"""

from __future__ import annotations

import argparse
import json
import struct
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import _paths
import numpy as np
import torch
from families import DTYPES
from llama import BITS, Llama, Shape, count, split, write_config, write_index, write_json, write_tokenizer
from numpy.typing import NDArray

CHUNK = 1 << 22
CODES = {"bfloat16": "BF16", "float16": "F16", "float32": "F32"}


def main(arguments: list[str] | None = None) -> int:
    """Write the family that the command line asks for."""
    options = _parser().parse_args(arguments)
    sizes = {key: getattr(options, key) for key in ("layers", "hidden", "intermediate", "vocab", "heads", "kv_heads")}
    model = Llama(**sizes, dtype=options.dtype, tied=options.tied)
    return make(options.folder, model, tuple(options.models), options.shards, options.seed)


def make(folder: Path, model: Llama, names: tuple[str, ...], shards: int, seed: int) -> int:
    """Write one folder per name, the base first, and a stamp last; return an exit code."""
    wanted = asdict(model) | {"models": list(names), "shards": shards, "seed": seed}
    stamp = folder / "family.json"
    if stamp.exists():
        if json.loads(stamp.read_text()) == wanted:
            return 0
        print(f"{folder} holds a family of other sizes: remove it, or name another folder", file=sys.stderr)
        return 1
    for index, name in enumerate(names):
        _write_model(folder / name, model, index, shards, seed)
        print(f"{folder / name}: {sum(map(model.nbytes, model.shapes())) / 1e9:.2f} GB", file=sys.stderr)
    write_json(stamp, wanted)
    return 0


def _write_model(folder: Path, model: Llama, index: int, shards: int, seed: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    files = split(model, shards)
    for file, names in files.items():
        _write_file(folder / file, model, names, index, seed)
    write_index(folder, model, files)
    write_config(folder, model)
    write_tokenizer(folder, model.vocab)


def _write_file(path: Path, model: Llama, names: tuple[str, ...], index: int, seed: int) -> None:
    """Write one safetensors file, its tensors in the order of their names."""
    shapes, order = model.shapes(), sorted(names)
    with path.open("wb") as file:
        file.write(_header(model, order))
        for name in order:
            for chunk in _values(name, shapes[name], index, seed):
                file.write(torch.from_numpy(chunk).to(DTYPES[model.dtype]).view(torch.uint8).numpy().data)


def _header(model: Llama, names: list[str]) -> bytes:
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name in names:
        size = model.nbytes(name)
        offsets = [offset, offset + size]
        entries[name] = {"dtype": CODES[model.dtype], "shape": model.shapes()[name], "data_offsets": offsets}
        offset += size
    text = json.dumps(entries, separators=(",", ":")).encode()
    padded = text + b" " * (-len(text) % 8)
    return struct.pack("<Q", len(padded)) + padded


def _values(name: str, shape: Shape, index: int, seed: int) -> Iterator[NDArray[np.float32]]:
    """Yield the values of one tensor of the model `index`: the base's, plus a delta where it is not the base."""
    centre = 1.0 if "norm" in name else 0.0
    key = [seed, *name.encode()]
    for start in range(0, count(shape), CHUNK):
        size = min(CHUNK, count(shape) - start)
        values = centre + _normal([*key, 0, start], size, 0.02)
        yield values + _delta([*key, index, start], size) if index else values


def _delta(key: list[int], size: int) -> NDArray[np.float32]:
    """Return small changes, with one in a hundred ten times larger."""
    delta = _normal([*key, 1], size, 4e-4)
    chosen = np.random.default_rng([*key, 2]).integers(0, size, size // 100)
    delta[chosen] *= 10
    return delta


def _normal(key: list[int], size: int, deviation: float) -> NDArray[np.float32]:
    return np.random.default_rng(key).standard_normal(size, dtype=np.float32) * np.float32(deviation)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=_paths.DATA / "family", help="where to write")
    parser.add_argument("--models", nargs="+", default=["base", "a", "b", "c"], help="folder names, the base first")
    parser.add_argument("--layers", type=int, default=8, help="number of layers")
    parser.add_argument("--hidden", type=int, default=2048, help="width of the residual stream")
    parser.add_argument("--intermediate", type=int, default=5632, help="width of the feed-forward network")
    parser.add_argument("--vocab", type=int, default=32_000, help="number of tokens")
    parser.add_argument("--heads", type=int, default=32, help="number of attention heads")
    parser.add_argument("--kv-heads", type=int, default=4, help="number of key and value heads")
    parser.add_argument("--dtype", choices=BITS, default="bfloat16", help="element type")
    parser.add_argument("--tied", action="store_true", help="leave the head out")
    parser.add_argument("--shards", type=int, default=2, help="files per model")
    parser.add_argument("--seed", type=int, default=0, help="seed of all values")
    return parser


if __name__ == "__main__":
    sys.exit(main())
