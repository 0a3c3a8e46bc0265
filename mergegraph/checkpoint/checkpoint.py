"""Open a model: its files, its tensors, its configuration, its layers. No tensor is read."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from mergegraph.checkpoint.claims import misstatements
from mergegraph.checkpoint.extras import find_extras, inner_weights
from mergegraph.checkpoint.faults import counted, fault, warning
from mergegraph.checkpoint.files import read_small
from mergegraph.checkpoint.folder import Folder, open_folder
from mergegraph.checkpoint.header import Header, read_header
from mergegraph.checkpoint.hub import Downloading, Repository, fetch_all, unseen
from mergegraph.checkpoint.index import disagreements
from mergegraph.checkpoint.jsontext import parse_object
from mergegraph.checkpoint.layers import Stack, find_stacks, natural_order
from mergegraph.checkpoint.source import Location, locate
from mergegraph.checkpoint.weights import CONVERT, Weights, find_weights, other_format
from mergegraph.diagnostics import Diagnostic, MergeGraphError, listed
from mergegraph.dtypes import Dtype

MAX_CONFIG_BYTES = 16_000_000
"""The longest `config.json` that is read."""

MAX_ERRORS = 5
"""How many bad files of one model are reported."""


class Tensor(NamedTuple):
    """One tensor of a checkpoint: `nbytes` bytes from the absolute offset `begin` of file number `file`."""

    name: str
    dtype: Dtype
    shape: tuple[int, ...]
    file: int
    begin: int
    nbytes: int


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """A model as it lies on disk, or on the Hub. Compared by identity.

    `source` is the text that named it. `root` is its folder, None for a lone file, which has no configuration and no
    extras. `tensors` are in natural order of their names (`layers.2` before `layers.10`), whatever the shards.
    `config` is `config.json`, empty when there is none. `commit` pins a model of the Hub. `extras` are the other files
    that it needs, relative to `root` (see `extras.PATTERNS`).
    """

    source: str
    root: Path | None
    files: tuple[Header, ...]
    tensors: Mapping[str, Tensor]
    config: Mapping[str, Any]
    commit: str | None
    stacks: tuple[Stack, ...]
    extras: tuple[Path, ...]
    warnings: tuple[Diagnostic, ...]
    folder: Folder | None = None

    def member(self, relative: Path | str) -> Path:
        """Return the path of a file beside the weights, downloaded if need be. Raises as `Folder.member`."""
        if self.folder is None:
            raise ValueError(f"{self.source} is a lone file")
        return self.folder.member(relative)

    @property
    def quantized(self) -> bool:
        """Whether its numbers are codes that need a `quantization_config` to be understood."""
        sections = (self.config, *(value for value in self.config.values() if isinstance(value, dict)))
        return any(section.get("quantization_config") is not None for section in sections)


def open_checkpoint(source: str, *, relative_to: Path, revision: str | None = None) -> Checkpoint:
    """Find the model that `source` names (see `source.locate`) and read the headers of its files.

    Raises MG501 to MG533; the errors of several files are reported together.
    """
    return checkpoint_at(source, locate(source, relative_to, revision))


def checkpoint_at(source: str, location: Location) -> Checkpoint:
    """Read the headers of the model that lies at a place. Raises as `open_checkpoint`."""
    if location.repository is not None:
        return _on_hub(source, location.repository)
    if os.path.isdir(location.path):
        return _in_folder(source, open_folder(location.path))
    return _lone_file(source, location.path)


def commit(checkpoint: Checkpoint) -> str | None:
    """Return the commit that a model of the Hub is pinned to; None for others."""
    repository = checkpoint.folder.repository if checkpoint.folder else None
    return repository.commit if repository else None


def waiting(checkpoint: Checkpoint, numbers: Collection[int]) -> list[Header]:
    """Return, of the weights files with these numbers, those that are on the Hub and not on this machine."""
    found = [checkpoint.files[number] for number in sorted(numbers)] if commit(checkpoint) else []
    return [header for header in found if not os.path.exists(header.path)]


def download(needed: Mapping[Checkpoint, Collection[int]], downloading: Downloading = unseen) -> None:
    """Download, of the weights files with these numbers, those that are on the Hub and not on this machine.

    Raises MG571 when their headers are not those that were read before, and as `hub.fetch_all`.
    """
    files = [
        (checkpoint.folder.repository, header)
        for checkpoint, numbers in needed.items()
        for header in waiting(checkpoint, numbers)
        if checkpoint.folder is not None and checkpoint.folder.repository is not None
    ]
    if files:
        nbytes = sum(header.file_bytes for _, header in files)
        with downloading(nbytes) as report:
            fetch_all([(repository, header.path.name) for repository, header in files], nbytes, report)
    for repository, header in files:
        found = read_header(header.path)
        if (found.sha256, found.file_bytes) != (header.sha256, header.file_bytes):
            message = f"the file that was downloaded is not the one whose header was read from {repository.id}"
            raise fault("MG571", message, header.path, "remove it from the cache and run again")


def _lone_file(source: str, path: Path) -> Checkpoint:
    if other_format(path.name):
        raise fault("MG522", "this file is not in safetensors", path, CONVERT)
    headers = (read_header(path),)
    return Checkpoint(
        source=source,
        root=None,
        files=headers,
        tensors=tensors_of(headers),
        config=MappingProxyType({}),
        commit=None,
        stacks=find_stacks(headers[0].tensors),
        extras=(),
        warnings=(),
    )


def _on_hub(source: str, repository: Repository) -> Checkpoint:
    try:
        found = _in_folder(source, open_folder(repository.folder, repository))
    except MergeGraphError as error:
        if repository.connected:
            raise
        message = "the Hub cannot be asked, and its cache on this machine holds only a part of this model"
        partly = fault("MG548", message, source, "connect to the network, and unset HF_HUB_OFFLINE if it is set")
        raise MergeGraphError(*partly.diagnostics, *error.diagnostics) from error
    return replace(found, commit=repository.commit, warnings=(*repository.warnings, *found.warnings))


def _in_folder(source: str, folder: Folder) -> Checkpoint:
    weights = find_weights(folder)
    headers = headers_of(folder, weights.files)
    findings = tuple(_findings(folder, weights, headers))
    errors = [finding for finding in findings if finding.severity == "error"]
    if errors:
        raise MergeGraphError(*errors)
    tensors, config = tensors_of(headers), _config(folder)
    stacks = find_stacks(tensors)
    return Checkpoint(
        source=source,
        root=folder.path,
        files=headers,
        tensors=tensors,
        config=MappingProxyType(config),
        commit=None,
        stacks=stacks,
        extras=find_extras(folder),
        warnings=(*findings, *misstatements(config, tensors, stacks, folder.path)),
        folder=folder,
    )


def headers_of(folder: Folder, paths: Sequence[Path]) -> tuple[Header, ...]:
    """Return the headers of weights files in a folder; of those on the Hub only the first bytes are downloaded."""
    headers: list[Header] = []
    errors: list[Diagnostic] = []
    local = (partial(read_header, path) for path in paths)
    for read in local if folder.repository is None else folder.repository.headers(paths):
        try:
            headers.append(read())
        except MergeGraphError as error:
            errors += error.diagnostics
    if errors:
        raise MergeGraphError(*errors[:MAX_ERRORS])
    return tuple(headers)


def _findings(folder: Folder, weights: Weights, headers: Sequence[Header]) -> Iterator[Diagnostic]:
    yield from weights.warnings
    if doubled := _doubled(headers):
        message = f"{counted(len(doubled), 'tensor')} in more than one file: {listed(doubled)}"
        yield Diagnostic("MG518", message, place=str(folder.path), help=("remove the files that are too many",))
    if weights.index:
        yield from disagreements(weights.index, headers)
    if inner := inner_weights(folder):
        message = f"the weights in {listed(map(str, inner))} are no part of the model and are left out"
        yield warning("MG532", message, folder.path)


def _doubled(headers: Sequence[Header]) -> list[str]:
    counts = Counter(chain.from_iterable(header.tensors for header in headers))
    return [name for name, count in counts.items() if count > 1]


def tensors_of(headers: Sequence[Header]) -> Mapping[str, Tensor]:
    """Return the tensors of several files, in natural order of their names."""
    found = [
        Tensor(entry.name, entry.dtype, entry.shape, file, entry.begin, entry.nbytes)
        for file, header in enumerate(headers)
        for entry in header.tensors.values()
    ]
    ranks = natural_order(tuple([tensor.name for tensor in found]))
    return MappingProxyType({tensor.name: tensor for tensor in map(found.__getitem__, ranks)})


def _config(folder: Folder) -> dict[str, Any]:
    if not folder.has("config.json"):
        return {}
    path = folder.member("config.json")
    return parse_object(read_small(path, MAX_CONFIG_BYTES, "configuration"), "configuration", path)
