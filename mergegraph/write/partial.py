"""Find, make and check the directory in which an output grows until it is complete.

Beside the output `NAME` lies `NAME.partial-…`, which holds the journal and, in `model/`, what will become `NAME`.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from mergegraph.diagnostics import Diagnostic, MergeGraphError, escape
from mergegraph.write import journal
from mergegraph.write.failures import RESUME, no_room, reporting
from mergegraph.write.files import (
    digest_range,
    opened,
    preallocate,
    pwrite_all,
    read_bytes,
    remove_tree,
    sync_directory,
    write_file,
)
from mergegraph.write.journal import Identity, Record
from mergegraph.write.layout import Layout, Shard
from mergegraph.write.os import Os


@dataclass(frozen=True, slots=True)
class Partial:
    """The places of one unfinished output."""

    target: Path
    root: Path

    @property
    def model(self) -> Path:
        """The directory that will be renamed to the output."""
        return self.root / "model"

    @property
    def journal(self) -> Path:
        """The file that says which tensors are finished."""
        return self.root / journal.NAME


def leftovers(os_: Os, target: Path) -> tuple[Partial, ...]:
    """Return what earlier runs to the same output left beside it, in order of name."""
    ours = re.compile(re.escape(target.name) + r"\.partial-[0-9a-f]{8}")
    names = sorted(os_.listdir(target.parent))
    return tuple(Partial(target, target.with_name(name)) for name in names if ours.fullmatch(name))


def sweep(os_: Os, target: Path) -> None:
    """Remove what earlier runs left beside an output that no run can continue: it only takes room."""
    usable = {partial for partial, _ in _unfinished(os_, target)}
    for partial in leftovers(os_, target):
        if partial not in usable:
            remove_tree(os_, partial.root)


def begin(os_: Os, target: Path, layout: Layout, identity: Identity) -> tuple[Partial, Record]:
    """Make a partial directory with every shard at its full size, or leave nothing and raise MG608 and others."""
    partial = Partial(target, target.with_name(f"{target.name}.partial-{secrets.token_hex(4)}"))
    _refuse_room(os_, target, layout.nbytes, tuple(_keep_or_remove(old) for old in leftovers(os_, target)))
    try:
        os_.mkdir(partial.root, 0o777)
        os_.mkdir(partial.model, 0o777)
        _lay_out(os_, partial, layout)
        write_file(os_, partial.journal, identity.line())
        for directory in (partial.model, partial.root, target.parent):
            sync_directory(os_, directory)
    except BaseException:
        with suppress(OSError):
            remove_tree(os_, partial.root)
        raise
    return partial, Record(identity, {}, (), len(identity.line()))


def _keep_or_remove(old: Partial) -> str:
    return f"`{escape(old.root.name)}` is left from an earlier run: continue it with `--resume`, or remove it"


def _refuse_room(os_: Os, target: Path, needed: int, help: tuple[str, ...]) -> None:
    disk = os_.statvfs(target.parent)
    free = disk.f_bavail * disk.f_frsize
    if free < needed:
        raise no_room(target, needed, free, help)


def _lay_out(os_: Os, partial: Partial, layout: Layout) -> None:
    for shard in layout.shards:
        with opened(os_, partial.model / shard.file, os.O_RDWR | os.O_CREAT) as fd:
            preallocate(os_, fd, shard.nbytes)
            pwrite_all(os_, fd, shard.header, 0)


def restore(os_: Os, partial: Partial, layout: Layout, record: Record) -> Record:
    """Bring what a broken run left into order, and return its record without the tensors that are not as recorded.

    Shards get the sizes and headers that a loss of power may have taken; every recorded tensor is read back.
    """
    with reporting(partial.target, RESUME):
        _refuse_room(os_, partial.target, layout.nbytes - _allocated(os_, partial, layout), ())
        _lay_out(os_, partial, layout)
        intact = {name: digest for shard in layout.shards for name, digest in _intact(os_, partial, shard, record)}
    return replace(record, digests=intact)


def _allocated(os_: Os, partial: Partial, layout: Layout) -> int:
    allocated = 0
    for shard in layout.shards:
        with suppress(FileNotFoundError):
            allocated += min(shard.nbytes, 512 * os_.lstat(partial.model / shard.file).st_blocks)
    return allocated


def _intact(os_: Os, partial: Partial, shard: Shard, record: Record) -> Iterator[tuple[str, str]]:
    with opened(os_, partial.model / shard.file) as fd:
        for name, slot in shard.tensors.items():
            expected = record.digests.get(name)
            if expected is not None and digest_range(os_, fd, slot.offset, slot.nbytes) == expected:
                yield name, expected


def reclaim(os_: Os, target: Path, layout: Layout, identity: Identity) -> None:
    """Take back an output that an equal run published before it broke off, so that it can be continued as a whole.

    Its partial directory is still there, with the journal and without the model.
    """
    for partial, record in _journals(os_, target):
        if not _has_model(os_, partial) and not journal.differences(record.identity, identity):
            with suppress(FileNotFoundError, NotADirectoryError):
                if all(reads_back(os_, target / shard.file, shard) for shard in layout.shards):
                    os_.rename(target, partial.model)
                    return


def reads_back(os_: Os, path: Path, shard: Shard) -> bool:
    """Tell whether a file has the size and the header of a shard."""
    with opened(os_, path, os.O_RDONLY) as fd:
        whole = os_.fstat(fd).st_size == shard.nbytes
        return whole and read_bytes(os_, fd, 0, len(shard.header)) == shard.header


def find(os_: Os, target: Path, identity: Identity) -> tuple[Partial, Record] | None:
    """Return the partial directory that this run can continue, the one that got furthest; None where there is none.

    Raise MG611, with the reasons, where all there are belong to other runs.
    """
    found = sorted(_unfinished(os_, target), key=lambda pair: -len(pair[1].digests))
    for partial, record in found:
        if not journal.differences(record.identity, identity):
            return partial, record
    if found:
        partial, record = found[0]
        reasons = journal.differences(record.identity, identity)
        raise MergeGraphError(_refused(partial, reasons))
    return None


def _unfinished(os_: Os, target: Path) -> Iterator[tuple[Partial, Record]]:
    return (found for found in _journals(os_, target) if _has_model(os_, found[0]))


def _journals(os_: Os, target: Path) -> Iterator[tuple[Partial, Record]]:
    for partial in leftovers(os_, target):
        record = _read_journal(os_, partial)
        if record is not None:
            yield partial, record


def _read_journal(os_: Os, partial: Partial) -> Record | None:
    try:
        with opened(os_, partial.journal, os.O_RDONLY) as fd:
            return journal.read_journal(read_bytes(os_, fd, 0, os_.fstat(fd).st_size))
    except (FileNotFoundError, NotADirectoryError):
        return None


def _has_model(os_: Os, partial: Partial) -> bool:
    try:
        return stat.S_ISDIR(os_.lstat(partial.model).st_mode)
    except FileNotFoundError:
        return False


def _refused(partial: Partial, reasons: tuple[str, ...]) -> Diagnostic:
    return Diagnostic(
        "MG611",
        f"`{escape(partial.root.name)}` can't be continued by this run: {'; '.join(reasons)}",
        place=str(partial.target),
        help=("repeat the run as it was begun, or start over without `--resume`",),
    )
