"""Compare a written model directory with its manifest, every byte of the weights included."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias

from mergegraph.checkpoint.adapter import open_adapter, stamps
from mergegraph.checkpoint.checkpoint import Checkpoint, open_checkpoint
from mergegraph.checkpoint.files import opened, read_small, unreadable
from mergegraph.checkpoint.header import Entry, Header, read_header
from mergegraph.checkpoint.jsontext import parse_object
from mergegraph.checkpoint.weights import ADAPTER
from mergegraph.diagnostics import Diagnostic, MergeGraphError, did_you_mean, escape, listed
from mergegraph.write import journal
from mergegraph.write.digest import digest
from mergegraph.write.files import digest_range
from mergegraph.write.manifest import FORMAT, InputFile, InputModel
from mergegraph.write.os import REAL
from mergegraph.write.partial import leftovers
from mergegraph.write.refusals import MANIFEST_NAME

MAX_MANIFEST = 1_000_000_000
Report: TypeAlias = Callable[[int, str], None]
"""Is told of every number of bytes read, and of which tensor or file."""

_WEIGHTS = (".safetensors", ".safetensors.index.json", ".bin", ".pt", ".pth")
_AGAIN = "copy the output again, or run its recipe with `--overwrite`: equal inputs and versions give equal bytes"
_WHICH = "give the folder that the recipe's `save` names, or the OUT of its `run`"
_REMOVE = "move them elsewhere: programs that load the folder may take them for the model's"
_ON_PURPOSE = "if you changed it on purpose, leave it: the weights are checked apart from it"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an output is made of: its shards and other files with size and digest, the digests of its tensors, and the
    models that it was made from."""

    shards: Mapping[str, tuple[int, str]]
    tensors: Mapping[str, str]
    files: Mapping[str, tuple[int, str]]
    inputs: tuple[InputModel, ...]

    @property
    def nbytes(self) -> int:
        """The bytes of all files that the manifest knows."""
        return sum(size for size, _ in (*self.shards.values(), *self.files.values()))


def verify_directory(path: Path, started: Callable[[int], Report] = lambda _: _nobody) -> tuple[Diagnostic, ...]:
    """Return what is wrong with an output, in order of its files; nothing where it is complete and unchanged.

    `started` is called with the bytes that will be read, and returns what is told of every number of them.
    MG620: it is no finished output. MG621: its manifest has another form. MG622: a file is missing. MG623: a file or a
    tensor has changed. MG624: there are weights that the manifest does not know. Also MG5xx for an unreadable manifest.
    """
    try:
        manifest = read_manifest(path)
        return tuple(_findings(path, manifest, started(manifest.nbytes)))
    except MergeGraphError as error:
        return error.diagnostics


def _nobody(_count: int, _name: str) -> None:
    """Tell nobody."""


def read_manifest(path: Path) -> Manifest:
    """Return the manifest of an output. MergeGraphError (MG620, MG621) if it has none, or one that can't be read."""
    if _is_unfinished(path):
        raise _error("MG620", "this output is not finished", path, "continue the run that began it with `--resume`")
    place = path / MANIFEST_NAME
    if not os.path.lexists(place):
        raise _no_output(path)
    try:
        value = parse_object(read_small(place, MAX_MANIFEST, "manifest"), "manifest", place)
    except MergeGraphError as error:
        raise MergeGraphError(*(replace(d, help=(_AGAIN,)) for d in error.diagnostics)) from error
    manifest = _parse(value)
    if manifest is None:
        raise _other_form(value, place)
    return manifest


def _is_unfinished(path: Path) -> bool:
    """Tell whether an output is growing here, or beside a path where there is nothing yet."""
    if any(os.path.lexists(folder / journal.NAME) for folder in (path, path.parent)):
        return True
    return not os.path.lexists(path) and path.parent.is_dir() and bool(leftovers(REAL, path))


def _no_output(path: Path) -> MergeGraphError:
    """Return the error of a path without a manifest, and where there may be one."""
    if not os.path.lexists(path):
        near = did_you_mean(path.name, _listdir(path.parent))
        return _error("MG620", "nothing has this path", path, *(near or (_WHICH,)))
    if not path.is_dir():
        return _error("MG620", "this is a file, and an output is a folder", path, _WHICH)
    below = [name for name in _listdir(path) if os.path.lexists(path / name / MANIFEST_NAME)]
    help = f"these folders in it are outputs: {listed(below)}" if below else _WHICH
    return _error("MG620", f"there is no `{MANIFEST_NAME}` here: this is no finished output of MergeGraph", path, help)


def _listdir(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _other_form(value: Mapping[str, Any], place: Path) -> MergeGraphError:
    form = value.get("format")
    if not isinstance(form, int) or form == FORMAT:
        return _error("MG621", "the manifest is not as MergeGraph writes it", place, _AGAIN)
    match value.get("versions"):
        case {"mergegraph": str(version)}:
            help = f"verify it with the version that wrote it: {escape(version)}"
        case _:
            help = "verify it with the version that wrote it"
    return _error("MG621", f"the manifest is of format {form}, and this version reads format {FORMAT}", place, help)


def _parse(value: Mapping[str, Any]) -> Manifest | None:
    match value:
        case {"format": int(form), "shards": dict(shards), "tensors": dict(tensors), "files": dict(files)}:
            sized = {**_sized(shards, "header"), **_sized(files, "digest")}
            known = form == FORMAT and len(sized) == len(shards) + len(files) and all(map(_is_safe, sized))
            if known and all(isinstance(label, str) for label in tensors.values()):
                inputs = tuple(_inputs(value.get("inputs")))
                return Manifest({n: sized[n] for n in shards}, tensors, {n: sized[n] for n in files}, inputs)
    return None


def _inputs(value: Any) -> Iterator[InputModel]:
    for entry in value if isinstance(value, list) else ():
        match entry:
            case {"source": str(source), "commit": (str() | None) as commit, "files": list(files)}:
                yield InputModel(source, commit, tuple(_input_files(files)))


def _input_files(files: list[Any]) -> Iterator[InputFile]:
    for file in files:
        match file:
            case {"name": str(name), "size": int(size), "header_sha256": str(digest_)}:
                yield InputFile(name, size, digest_)


def verify_inputs(manifest: Manifest, folder: Path) -> tuple[Diagnostic, ...]:
    """Return what has become of the models that an output was made from: MG680 for one that can't be opened, MG681 for
    one whose files are not those that were read. Local paths begin at `folder`; only headers and sizes are compared."""
    return tuple(finding for model in manifest.inputs for finding in _check_input(model, folder))


def _check_input(model: InputModel, folder: Path) -> Iterator[Diagnostic]:
    place = escape(model.source)
    try:
        checkpoint = _opened(model, folder)
        found = set(stamps(checkpoint))
    except MergeGraphError as error:
        first = error.diagnostics[0]
        help = ("paths of models begin in the folder that `--inputs` names: that of the recipe",)
        yield Diagnostic("MG680", f"the input `{place}` can't be opened: {first.message}", place=first.place, help=help)
        return
    changed = [file.name for file in model.files if (file.name, file.size, file.header_sha256) not in found]
    if changed:
        message = f"files of the input `{place}` are not those that were merged: {listed(changed)}"
        help = ("the output itself is as it was written; run its recipe again to merge what is there now",)
        yield Diagnostic("MG681", message, place=str(checkpoint.root or checkpoint.files[0].path), help=help)


def _opened(model: InputModel, folder: Path) -> Checkpoint:
    """Open a model, or the adapter that one with this name of its file is."""
    if any(file.name == ADAPTER for file in model.files):
        return open_adapter(model.source, relative_to=folder, revision=model.commit).checkpoint
    return open_checkpoint(model.source, relative_to=folder, revision=model.commit)


def _sized(entries: Mapping[str, Any], key: str) -> dict[str, tuple[int, str]]:
    return {
        name: (entry["size"], entry[key])
        for name, entry in entries.items()
        if isinstance(entry, dict) and isinstance(entry.get("size"), int) and isinstance(entry.get(key), str)
    }


def _is_safe(name: str) -> bool:
    path = PurePosixPath(name)
    return str(path) == name and not path.is_absolute() and ".." not in path.parts and "\0" not in name


def _findings(path: Path, manifest: Manifest, report: Report) -> Iterator[Diagnostic]:
    for name, (size, expected) in sorted(manifest.files.items()):
        yield from _check_file(path / name, size, expected)
        report(size, name)
    tensors = dict(manifest.tensors)
    for name, (size, expected) in sorted(manifest.shards.items()):
        yield from _check_shard(path / name, size, expected, tensors, report)
    if tensors:
        yield _finding("MG622", f"no intact file holds these tensors: {listed(sorted(tensors))}", path, _AGAIN)
    known = manifest.shards.keys() | manifest.files.keys()
    unknown = [name for name in sorted(os.listdir(path)) if name.endswith(_WEIGHTS) and name not in known]
    if unknown:
        yield _finding("MG624", f"the manifest does not know these weights: {listed(unknown)}", path, _REMOVE)


def _check_file(place: Path, size: int, expected: str) -> Iterator[Diagnostic]:
    try:
        data = read_small(place, size, "file")
    except MergeGraphError as error:
        yield _unreadable(place, error)
        return
    if digest(data) != expected:
        yield _finding("MG623", f"`{escape(place.name)}` has changed since it was written", place, _ON_PURPOSE, _AGAIN)


def _check_shard(
    place: Path, size: int, expected: str, tensors: dict[str, str], report: Report
) -> Iterator[Diagnostic]:
    """Yield what is wrong with a shard, and take its tensors out of `tensors`."""
    try:
        header = read_header(place)
    except MergeGraphError as error:
        yield _unreadable(place, error)
        return
    if header.file_bytes != size or f"sha256:{header.sha256}" != expected:
        yield _finding("MG623", f"the header of `{escape(place.name)}` has changed since it was written", place, _AGAIN)
        return
    try:
        changed = [entry.name for entry, label in _digests(header, report) if tensors.pop(entry.name, None) != label]
    except OSError as error:
        yield _unreadable(place, unreadable(place, error))
        return
    if changed:
        yield _finding("MG623", f"these tensors have changed since they were written: {listed(changed)}", place, _AGAIN)


def _digests(header: Header, report: Report) -> Iterator[tuple[Entry, str]]:
    with opened(header.path) as (fd, _):
        for entry in header.tensors.values():
            yield entry, digest_range(REAL, fd, entry.begin, entry.nbytes)
            report(entry.nbytes, entry.name)


def _unreadable(place: Path, error: MergeGraphError) -> Diagnostic:
    first = error.diagnostics[0]
    if first.code == "MG501":
        return _finding("MG622", f"`{escape(place.name)}` is missing", place, _AGAIN)
    return _finding("MG623", f"`{escape(place.name)}` has changed since it was written: {first.message}", place, _AGAIN)


def _finding(code: str, message: str, place: Path, *help: str) -> Diagnostic:
    return Diagnostic(code, message, place=str(place), help=help)


def _error(code: str, message: str, place: Path, *help: str) -> MergeGraphError:
    return MergeGraphError(_finding(code, message, place, *help))
