"""Decide where every byte of an output will lie, before there are any.

Shards are cut as `huggingface_hub` cuts them; headers are what the writer of safetensors would write, byte for byte.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mergegraph.diagnostics import Diagnostic, MergeGraphError, escape, listed
from mergegraph.dtypes import Dtype
from mergegraph.sizes import format_size
from mergegraph.write.digest import TensorDigest

SHARD_SIZE = 5_000_000_000
INDEX_NAME = "model.safetensors.index.json"
MAX_HEADER = 100_000_000
"""The longest header, in bytes, that safetensors reads."""

_WIDEST_FIRST = "U64 I64 F64 C64 F32 U32 I32 BF16 F16 U16 I16 F8_E8M0 F8_E4M3 F8_E5M2 I8 U8 F6_E3M2 F6_E2M3 F4 BOOL"
_RANK = {code: rank for rank, code in enumerate(_WIDEST_FIRST.split())}


@dataclass(frozen=True, slots=True)
class OutputTensor:
    """A tensor to be written: its name, element type and shape."""

    name: str
    dtype: Dtype
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Its size in the file."""
        return self.dtype.nbytes(math.prod(self.shape))


@dataclass(frozen=True, slots=True)
class Slot:
    """The bytes of a tensor in its shard: `offset` counts from the start of the file."""

    offset: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class Shard:
    """A weights file: its name, all bytes before the data, its whole size, and where its tensors lie."""

    file: str
    header: bytes
    nbytes: int
    tensors: Mapping[str, Slot]


@dataclass(frozen=True, slots=True)
class Layout:
    """All weights files of an output, and the bytes of their index where there are several.

    `shard_of` gives, for a tensor's name, the position of its shard.
    """

    shards: tuple[Shard, ...]
    index: bytes | None
    shard_of: Mapping[str, int]

    @property
    def nbytes(self) -> int:
        """The size of all weights files."""
        return sum(shard.nbytes for shard in self.shards)

    @property
    def index_file(self) -> dict[str, bytes]:
        """The index by its file name; empty where one file holds everything."""
        return {} if self.index is None else {INDEX_NAME: self.index}

    @property
    def digest(self) -> str:
        """A fingerprint of the names and headers of all shards."""
        whole = TensorDigest()
        for shard in self.shards:
            whole.update(shard.file.encode() + shard.header)
        return whole.label

    def slot(self, name: str) -> Slot:
        """Return where a tensor lies in its shard."""
        return self.shards[self.shard_of[name]].tensors[name]


def plan_layout(tensors: Sequence[OutputTensor], shard_size: int = SHARD_SIZE) -> Layout:
    """Return the layout of `tensors` in shards of at most `shard_size` bytes of data, filled in the given order.

    A tensor larger than that has a shard of its own. Raise MG616, MG617 or MG618 for what no file can hold.
    """
    _refuse_names(tensors)
    groups = _split(tensors, shard_size)
    shards = tuple(_shard(_file(i, len(groups)), group) for i, group in enumerate(groups))
    shard_of = {name: i for i, shard in enumerate(shards) for name in shard.tensors}
    return Layout(shards, _index(shards, tensors) if len(shards) > 1 else None, shard_of)


def _refuse_names(tensors: Sequence[OutputTensor]) -> None:
    if not tensors:
        raise MergeGraphError(Diagnostic("MG616", "the output has no tensors"))
    bad = [t.name for t in tensors if t.name == "__metadata__" or not _encodable(t.name)]
    if bad:
        message = f"no safetensors file can hold a tensor of this name: {listed(bad)}"
        raise MergeGraphError(Diagnostic("MG617", message, help=("rename it, or leave it out",)))
    if len({t.name for t in tensors}) < len(tensors):
        raise ValueError("two output tensors have one name")


def _encodable(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _split(tensors: Iterable[OutputTensor], limit: int) -> list[list[OutputTensor]]:
    shards: list[list[OutputTensor]] = []
    current: list[OutputTensor] = []
    size = 0
    for tensor in tensors:
        nbytes = tensor.nbytes
        if nbytes > limit:
            shards.append([tensor])
            continue
        if size + nbytes > limit:
            shards.append(current)
            current, size = [], 0
        current.append(tensor)
        size += nbytes
    return [*shards, current] if current else shards


def _file(position: int, count: int) -> str:
    return "model.safetensors" if count == 1 else f"model-{position + 1:05d}-of-{count:05d}.safetensors"


def _shard(file: str, tensors: Sequence[OutputTensor]) -> Shard:
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    relative: dict[str, Slot] = {}
    end = 0
    for tensor in sorted(tensors, key=lambda t: (_RANK[t.dtype.code], t.name)):
        start, end = end, end + tensor.nbytes
        entries[tensor.name] = {"dtype": tensor.dtype.code, "shape": tensor.shape, "data_offsets": (start, end)}
        relative[tensor.name] = Slot(start, end - start)
    header = _header(file, entries)
    slots = {name: Slot(len(header) + slot.offset, slot.nbytes) for name, slot in relative.items()}
    return Shard(file, header, len(header) + end, slots)


def _header(file: str, entries: Mapping[str, object]) -> bytes:
    text = json.dumps(entries, ensure_ascii=False, separators=(",", ":")).encode()
    if len(text) > MAX_HEADER:
        message = f"the header of `{escape(file)}` would take {format_size(len(text))}; readers accept 100 MB"
        raise MergeGraphError(Diagnostic("MG618", message, help=("choose a smaller `shard_size`",)))
    padded = text + b" " * (-len(text) % 8)
    return len(padded).to_bytes(8, "little") + padded


def _index(shards: Sequence[Shard], tensors: Sequence[OutputTensor]) -> bytes:
    files = {name: shard.file for shard in shards for name in shard.tensors}
    index = {
        "metadata": {"total_size": sum(t.nbytes for t in tensors)},
        "weight_map": {name: files[name] for name in sorted(files)},
    }
    return (json.dumps(index, indent=2) + "\n").encode()
