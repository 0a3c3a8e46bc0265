"""Find which files of a folder hold a model's weights."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mergegraph.checkpoint.faults import counted, fault, warning
from mergegraph.checkpoint.folder import Folder
from mergegraph.checkpoint.index import Index, read_index
from mergegraph.diagnostics import Diagnostic, MergeGraphError, listed

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
ADAPTER = "adapter_model.safetensors"

OTHER_FORMATS = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".gguf", ".ggml", ".h5", ".msgpack", ".onnx", ".npz")
"""Endings of weights in formats that are not read."""

CONVERT = "convert the weights to safetensors first; other formats are not opened, as reading a pickle can run code"

_NUMBERED = re.compile(r"(?P<stem>.*)-(?P<number>[0-9]{5})-of-(?P<total>[0-9]{5})\.safetensors\Z", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Weights:
    """The files of a model's weights, the index that lists them if there is one, and what to warn of."""

    files: tuple[Path, ...]
    index: Index | None = None
    warnings: tuple[Diagnostic, ...] = ()


def find_weights(folder: Folder) -> Weights:
    """Return the weights of a folder: `model.safetensors`; or else the shards of its index; or else every
    `.safetensors` file of it but an adapter's.

    Raises MG515 when shards are missing, MG521 when there are no weights, MG522 when they are in another format,
    MG533 when several indexes could be meant, MG520 for links that leave the folder, and what `read_index` raises.
    """
    names = folder.names()
    index_name = _index_name(names, folder)
    if index_name is None:
        return _without_index(names, folder)
    index = read_index(folder.member(index_name))
    if SINGLE in names and index.shards != (SINGLE,):
        message = f"`{index_name}` is not used, as there is a `{SINGLE}` too"
        return Weights((folder.place(SINGLE),), warnings=(warning("MG529", message, folder.path),))
    missing = [shard for shard in index.shards if shard not in names]
    if missing:
        raise _missing(missing, folder)
    return Weights(tuple(map(folder.place, index.shards)), index)


def other_format(name: str) -> bool:
    """Tell whether a file name is that of weights in a format that is not read."""
    return name.lower().endswith(OTHER_FORMATS)


def _index_name(names: list[str], folder: Folder) -> str | None:
    indexes = [name for name in names if name.endswith(".safetensors.index.json") and not name.startswith(".")]
    if INDEX in indexes or len(indexes) < 2:
        return INDEX if INDEX in indexes else next(iter(indexes), None)
    if SINGLE in names:
        return None
    raise fault("MG533", f"it is not plain which index is meant: {listed(indexes)}", folder.path, "remove all but one")


def _without_index(names: list[str], folder: Folder) -> Weights:
    if SINGLE in names:
        return Weights((folder.place(SINGLE),))
    shards = [name for name in names if name.endswith(".safetensors") and not name.startswith(".")]
    weights = [name for name in shards if name != ADAPTER]
    if not weights:
        raise _no_weights(names, folder)
    missing = [name for name in _announced(weights) if name not in names]
    if missing:
        raise _missing(missing, folder)
    return Weights(tuple(map(folder.place, weights)))


def _announced(names: list[str]) -> Iterator[str]:
    """Yield the names of all shards of every series that a `-00001-of-00003` speaks of."""
    found = [match for name in names if (match := _NUMBERED.match(name))]
    for stem, total in sorted({(match["stem"], match["total"]) for match in found}):
        yield from (f"{stem}-{number:05}-of-{total}.safetensors" for number in range(1, int(total) + 1))


def _missing(names: list[str], folder: Folder) -> MergeGraphError:
    help = "copy or download the rest of the model"
    return fault("MG515", f"{counted(len(names), 'shard')} missing: {listed(names)}", folder.path, help)


def _no_weights(names: list[str], folder: Folder) -> MergeGraphError:
    others = list(filter(other_format, names))
    if ADAPTER in names:
        advice = "add it to the model that it was trained on: `base + lora(…)`"
        return fault("MG521", "this is an adapter, not a model", folder.path, advice)
    if others:
        return fault("MG522", f"the weights are not in safetensors: {listed(others)}", folder.path, CONVERT)
    inner = list(filter(folder.weights_in, names))
    help = (f"there are weights in {listed(inner)}: name the folder that you mean",) if inner else ()
    wanted = help or ("name the folder that holds the model's `.safetensors` files",)
    return fault("MG521", "there are no `.safetensors` files in this folder", folder.path, *wanted)
