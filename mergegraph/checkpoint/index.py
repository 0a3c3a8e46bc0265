"""Read the index of a sharded checkpoint, and compare it with the shards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mergegraph.checkpoint.faults import counted, cut, fault, quoted, warning
from mergegraph.checkpoint.files import read_small
from mergegraph.checkpoint.header import MAX_NAME, Header
from mergegraph.checkpoint.jsontext import parse_object
from mergegraph.diagnostics import Diagnostic, listed

MAX_INDEX_BYTES = 100_000_000
"""The longest index that is read."""

MAX_FILE_NAME = 255
"""The longest name of a shard, in bytes."""

_FORBIDDEN = frozenset('<>:"/\\|?*')
_DEVICES = frozenset({"CON", "PRN", "AUX", "NUL", *(f"{port}{i}" for port in ("COM", "LPT") for i in range(10))})


@dataclass(frozen=True, slots=True, eq=False)
class Index:
    """Which shard holds each tensor, and what `metadata.total_size` says, whatever it is."""

    path: Path
    shard_of: Mapping[str, str]
    total_size: object

    @property
    def shards(self) -> tuple[str, ...]:
        """The names of the shards, sorted."""
        return tuple(sorted(set(self.shard_of.values())))


def read_index(path: Path) -> Index:
    """Read `model.safetensors.index.json`.

    A shard is one name in the index's own folder that ends in `.safetensors`, by the rules of POSIX and of Windows.
    Raises MG513 when the map of weights is missing or no map of texts, MG514 for other shard names, MG505 beyond the
    limits, MG506 and MG507 for bad JSON, and what `open_regular` raises.
    """
    content = parse_object(read_small(path, MAX_INDEX_BYTES, "index"), "index", path)
    shard_of = _shard_of(content, path)
    refused = [name for name in dict.fromkeys(shard_of.values()) if not is_shard_name(name)]
    if refused:
        message = f"the index names shards that are no `.safetensors` file beside it: {listed(map(cut, refused))}"
        raise fault("MG514", message, path)
    metadata = content.get("metadata")
    total_size = metadata.get("total_size") if isinstance(metadata, dict) else None
    return Index(path, MappingProxyType(shard_of), total_size)


def is_shard_name(name: str) -> bool:
    """Tell whether `name` is one path component that ends in `.safetensors`, on any system."""
    return (
        name.endswith(".safetensors")
        and not name.startswith((".", " "))
        and len(name.encode()) <= MAX_FILE_NAME
        and all(c >= " " and c not in _FORBIDDEN for c in name)
        and name.split(".")[0].rstrip(" ").upper() not in _DEVICES
    )


def disagreements(index: Index, headers: Sequence[Header]) -> Iterator[Diagnostic]:
    """Yield an error for tensors that are not where the index says (MG516) and for those it does not know (MG517),
    and a warning (MG519) when its `total_size` is given and wrong."""
    held = {header.path.name: header.tensors for header in headers}
    missing = [name for name, shard in index.shard_of.items() if name not in held[shard]]
    if missing:
        yield _error("MG516", missing, "not in the shard that the index names", index)
    unknown = [name for tensors in held.values() for name in tensors if name not in index.shard_of]
    if unknown:
        yield _error("MG517", unknown, "of the shards not in the index", index)
    total = sum(entry.nbytes for tensors in held.values() for entry in tensors.values())
    if index.total_size not in (None, total):
        message = f"the index gives a total size of {quoted(str(index.total_size))}; the tensors have {total:,} bytes"
        yield warning("MG519", message, index.path)


def _shard_of(content: Mapping[str, Any], path: Path) -> dict[str, str]:
    shard_of = content.get("weight_map")
    if not isinstance(shard_of, dict) or not all(isinstance(shard, str) for shard in shard_of.values()):
        raise fault("MG513", "the index has no `weight_map` from tensor names to file names", path)
    longest = max(map(len, shard_of), default=0)
    if longest > MAX_NAME:
        raise fault("MG505", f"a tensor's name has {longest:,} characters; at most {MAX_NAME:,} are read", path)
    return shard_of


def _error(code: str, names: list[str], where: str, index: Index) -> Diagnostic:
    message = f"{counted(len(names), 'tensor')} {where}: {listed(names)}"
    help = "copy or download the whole model again: its index and its shards don't belong together"
    return Diagnostic(code, message, place=str(index.path), help=(help,))
