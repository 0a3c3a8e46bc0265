"""Read the header of a safetensors file, more strictly than safetensors does.

Refused here though safetensors accepts them:
- anything but a regular file; a file with bytes after its last tensor;
- a header that does not begin with `{`; a name or key twice, a tensor entry that is a list or has further fields,
  `__metadata__` of null;
- beyond the limits below; more than 2⁶³ − 1 elements, a dimension of zero counted as one.

Names are data: any Unicode text is accepted and none is ever used as a path.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, TypeGuard

from mergegraph.checkpoint.faults import AGAIN, counted, fault, quoted
from mergegraph.checkpoint.files import FileIdentity, opened, read_exactly
from mergegraph.checkpoint.jsontext import parse_object
from mergegraph.diagnostics import MergeGraphError
from mergegraph.dtypes import BY_CODE, Dtype

MAX_HEADER_BYTES = 100_000_000
"""The longest header that is read, as in safetensors."""

MAX_TENSORS = 500_000
"""The most tensors of one file."""

MAX_MARKS = 8_000_000
"""The most commas and opening brackets in a header: what bounds the memory that parsing it takes."""

MAX_NAME = 1_024
"""The longest tensor name, in characters."""

MAX_RANK = 64
"""The most dimensions of a tensor, as in numpy."""

MAX_ELEMENTS = 2**63 - 1

Read = Callable[[int, int], bytes]
"""Gives so many bytes from an offset of a file."""

_FIELDS = {"dtype", "shape", "data_offsets"}
_INTEGERS = frozenset({int})
_LFS_POINTER = b"version "


class Entry(NamedTuple):
    """One tensor of a file: `begin` is the absolute offset of its `nbytes` bytes.

    A named tuple takes a third of the time of a frozen dataclass to make, and a large model has 90,000.
    """

    name: str
    dtype: Dtype
    shape: tuple[int, ...]
    begin: int
    nbytes: int


@dataclass(frozen=True, slots=True, eq=False)
class Header:
    """What a safetensors file says of itself. `tensors` are in file order; `sha256` is that of the header's bytes.

    `identity` is None for a file whose header was read from the Hub: `path` is then where it will be downloaded to.
    """

    path: Path
    file_bytes: int
    data_start: int
    metadata: Mapping[str, str]
    tensors: Mapping[str, Entry]
    sha256: str
    identity: FileIdentity | None


def read_header(path: Path) -> Header:
    """Read and check the header of a safetensors file; no tensor is read.

    Raises MG501 to MG512, MG520 and MG531, which name the file and the tensor.
    """
    with opened(path) as (descriptor, status):
        raw = _header_bytes(lambda offset, size: read_exactly(descriptor, offset, size, path), status.st_size, path)
    return _parsed(raw, status.st_size, path, FileIdentity.of(status))


def remote_header(read: Read, size: int, path: Path) -> Header:
    """Return the header of a file of `size` bytes that is not here, and will be at `path`. Raises as `read_header`."""
    return _parsed(_header_bytes(read, size, path), size, path, None)


def _parsed(raw: bytes, size: int, path: Path, identity: FileIdentity | None) -> Header:
    data_start = 8 + len(raw)
    members = parse_object(raw, "header", path, flat=True)
    metadata = _metadata(members.pop("__metadata__", {}), path)
    if len(members) > MAX_TENSORS:
        raise _too_many(len(members), "tensors", MAX_TENSORS, path)
    entries = [_entry(name, fields, data_start, path) for name, fields in members.items()]
    entries.sort(key=attrgetter("begin", "nbytes"))
    _check_layout(entries, data_start, size, path)
    return Header(
        path=path,
        file_bytes=size,
        data_start=data_start,
        metadata=metadata,
        tensors=MappingProxyType({entry.name: entry for entry in entries}),
        sha256=hashlib.sha256(raw).hexdigest(),
        identity=identity,
    )


def _header_bytes(read: Read, size: int, path: Path) -> bytes:
    if size < 8:
        raise fault("MG504", f"this is no safetensors file: it has only {counted(size, 'byte')}", path)
    prefix = read(0, 8)
    length = int.from_bytes(prefix, "little")
    if length > size - 8:
        message = f"this is no whole safetensors file: it announces a header of {length:,} bytes, {size - 8:,} follow"
        raise fault("MG504", message, path, _other_help(prefix, path))
    if length > MAX_HEADER_BYTES:
        raise _too_many(length, "bytes", MAX_HEADER_BYTES, path)
    raw = read(8, length)
    _check_bounds(raw, path)
    return raw


def _other_help(prefix: bytes, path: Path) -> str:
    if prefix == _LFS_POINTER:
        return "this is a pointer of Git LFS: fetch the file with `git lfs pull`"
    if prefix.startswith(b"PK"):
        return "this is a zip archive, as torch.save writes: convert the weights to safetensors"
    if path.suffix != ".safetensors":
        return "name a folder that has `.safetensors` files, or one such file"
    return AGAIN


def _check_bounds(raw: bytes, path: Path) -> None:
    if not raw.startswith(b"{"):
        raise fault("MG506", "the header does not begin with `{`", path)
    tensors = raw.count(b'"data_offsets"')
    if tensors > MAX_TENSORS:
        raise _too_many(tensors, "tensors", MAX_TENSORS, path)
    marks = sum(map(raw.count, (b",", b"[", b"{")))
    if marks > MAX_MARKS:
        raise _too_many(marks, "commas and brackets", MAX_MARKS, path)


def _too_many(count: int, what: str, limit: int, path: Path) -> MergeGraphError:
    return fault("MG505", f"the header has {count:,} {what}; at most {limit:,} are read", path)


def _metadata(value: object, path: Path) -> Mapping[str, str]:
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise fault("MG508", "the header's `__metadata__` is not an object of strings", path)
    return MappingProxyType(value)


def _entry(name: str, fields: Any, data_start: int, path: Path) -> Entry:
    if len(name) > MAX_NAME:
        raise fault("MG505", f"a tensor's name has {len(name):,} characters; at most {MAX_NAME:,} are read", path)
    if not isinstance(fields, dict) or fields.keys() != _FIELDS:
        raise fault("MG508", f"the entry of {quoted(name)} is not `dtype`, `shape` and `data_offsets`", path)
    dtype = _dtype(name, fields["dtype"], path)
    shape, offsets = fields["shape"], fields["data_offsets"]
    if not _are_sizes(shape) or len(shape) > MAX_RANK:
        raise fault("MG508", f"the shape of {quoted(name)} is not a list of up to {MAX_RANK} sizes", path)
    if not _are_offsets(offsets):
        raise fault("MG508", f"the data offsets of {quoted(name)} are not two rising sizes", path)
    begin, end = offsets
    _check_size(name, dtype, shape, end - begin, path)
    return Entry(name, dtype, tuple(shape), data_start + begin, end - begin)


def _dtype(name: str, code: object, path: Path) -> Dtype:
    dtype = BY_CODE.get(code) if isinstance(code, str) else None
    if dtype is None:
        raise fault("MG509", f"the dtype of {quoted(name)} is unknown: {quoted(str(code))}", path)
    return dtype


def _are_sizes(value: object) -> TypeGuard[list[int]]:
    return isinstance(value, list) and _INTEGERS.issuperset(map(type, value)) and min(value, default=0) >= 0


def _are_offsets(value: object) -> TypeGuard[list[int]]:
    return _are_sizes(value) and len(value) == 2 and value[0] <= value[1]


def _check_size(name: str, dtype: Dtype, shape: list[int], nbytes: int, path: Path) -> None:
    bits = math.prod(shape) * dtype.bits
    if bits == 8 * nbytes and (bits or math.prod(size or 1 for size in shape) <= MAX_ELEMENTS):
        return
    needed = f"{bits // 8:,} bytes" if bits % 8 == 0 else f"{bits:,} bits"
    what = "too large" if bits == 8 * nbytes or bits > 8 * MAX_ELEMENTS else f"{needed}, but its data has {nbytes:,}"
    raise fault("MG510", f"{quoted(name)} is {dtype.code} of shape {quoted(str(shape))}: {what}", path)


def _check_layout(entries: list[Entry], data_start: int, size: int, path: Path) -> None:
    """Check that the tensors, in the order of their offsets, cover the data without hole, overlap or rest."""
    expected = data_start
    for i, entry in enumerate(entries):
        if entry.begin < expected:
            raise fault(
                "MG511", f"the data of {quoted(entry.name)} overlaps that of {quoted(entries[i - 1].name)}", path
            )
        if entry.begin > expected:
            gap = f"{counted(entry.begin - expected, 'byte')} before {quoted(entry.name)} belong to no tensor"
            raise fault("MG511", gap, path)
        expected += entry.nbytes
        if expected > size:
            message = f"the file is truncated: {quoted(entry.name)} ends at byte {expected:,}, the file at {size:,}"
            raise fault("MG512", message, path)
    if expected < size:
        raise fault("MG511", f"{counted(size - expected, 'byte')} after the last tensor belong to none", path)
