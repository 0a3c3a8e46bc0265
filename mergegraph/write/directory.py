"""Write a model directory all or nothing, and continue what a broken run left.

Life of an output: `create` refuses, or reserves the disk; threads `write` and `record` tensors in any order; `commit`
adds the small files, checks everything and renames. Until then nothing carries the final name; `abandon` stops and
keeps what is finished.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Self

from safetensors import SafetensorError, safe_open

from mergegraph.diagnostics import Diagnostic, MergeGraphError, escape, listed
from mergegraph.system import write_back
from mergegraph.write import partial as partials
from mergegraph.write.digest import Buffer
from mergegraph.write.failures import RESUME, reporting
from mergegraph.write.files import (
    FilePool,
    pwrite_all,
    remove_tree,
    sync_directory,
    write_file,
)
from mergegraph.write.journal import Identity, Journal, Record
from mergegraph.write.layout import Layout, Shard
from mergegraph.write.ledger import Ledger
from mergegraph.write.lock import OutputLock
from mergegraph.write.os import REAL, Os
from mergegraph.write.partial import Partial
from mergegraph.write.publish import clean_up, publish, withdraw
from mergegraph.write.refusals import refuse_existing, refuse_place
from mergegraph.write.signals import signals_deferred


class OutputDirectory:
    """One output that is being written. Any thread may call `write` and `record`; as a context it ends by `abandon`."""

    def __init__(
        self,
        os_: Os,
        lock: OutputLock,
        layout: Layout,
        partial: Partial,
        record: Record,
        *,
        overwrite: bool,
        cached: bool,
    ) -> None:
        self._os = os_
        self._lock = lock
        self._layout = layout
        self._partial = partial
        self._overwrite = overwrite
        self._replaced = record.replaced
        self._replaced_now: tuple[str, ...] = ()
        self._journal = Journal(os_, os_.open(partial.journal, os.O_RDWR | os.O_CLOEXEC), record.nbytes)
        self._files = FilePool(os_)
        shards = map(self._path, layout.shards)
        self._ledger = Ledger(os_, self._files, self._journal, record.digests, shards, cached=cached)
        self._ended = False

    @classmethod
    def create(
        cls,
        target: Path,
        layout: Layout,
        *,
        plan_hash: str,
        fingerprints: Mapping[str, str],
        versions: Mapping[str, str],
        inputs: Iterable[Path] = (),
        overwrite: bool = False,
        resume: bool = False,
        cached: bool = True,
        os_: Os = REAL,
    ) -> OutputDirectory:
        """Reserve the disk for `layout` beside `target`, or with `resume` continue what an equal run left there.

        `inputs` are the files and directories that must stay untouched; `fingerprints` (of every input file) and
        `versions` (of everything that has a say in the bytes) are what a later `resume` compares. What is written stays
        in the page cache if it is to be `cached`.
        Raise MG601–MG611 and leave nothing behind that was not there before.
        """
        identity = Identity(plan_hash, layout.digest, versions, fingerprints)
        with reporting(target):
            refuse_place(os_, target, inputs)
            lock = OutputLock.acquire(os_, target)
            try:
                if resume:
                    partials.reclaim(os_, target, layout, identity)
                refuse_existing(os_, target, overwrite=overwrite)
                partials.sweep(os_, target)
                found = partials.find(os_, target, identity) if resume else None
                partial, record = found or partials.begin(os_, target, layout, identity)
                kept = partials.restore(os_, partial, layout, record) if found else record
                return cls(os_, lock, layout, partial, kept, overwrite=overwrite, cached=cached)
            except BaseException:
                lock.release()
                raise

    @property
    def partial(self) -> Path:
        """The directory beside the output in which it grows."""
        return self._partial.root

    @property
    def done(self) -> Mapping[str, str]:
        """The digests of the tensors that are written, synced and journaled."""
        return self._ledger.done

    def write(self, shard: int, offset: int, buffer: Buffer) -> None:
        """Write a C-contiguous buffer at `offset` of a shard's file. Raise ValueError outside of its data."""
        planned = self._layout.shards[shard]
        if not len(planned.header) <= offset <= planned.nbytes - memoryview(buffer).nbytes:
            raise ValueError(f"{planned.file} has no data at {offset}")
        path = self._path(planned)
        with reporting(path, RESUME), self._files.lend(path) as fd:
            pwrite_all(self._os, fd, buffer, offset)
            write_back(fd, offset, memoryview(buffer).nbytes)
        self._ledger.touch(path)

    def record(self, digests: Mapping[str, str]) -> None:
        """Declare tensors finished, by name with the digest of all their bytes. From time to time this syncs."""
        nbytes = sum(self._layout.slot(name).nbytes for name in digests)
        with reporting(self._partial.target, RESUME):
            self._ledger.add(digests, nbytes)

    def flush(self) -> None:
        """Make everything that was recorded survive a crash."""
        with reporting(self._partial.target, RESUME):
            self._ledger.flush()

    def commit(self, small_files: Mapping[str, bytes]) -> None:
        """Publish this output alone; see `commit_all`."""
        commit_all([(self, small_files)])

    def abandon(self) -> Path | None:
        """Stop, and return the directory that a resumed run continues; None where there was nothing worth keeping."""
        if self._ended:
            return None
        with suppress(MergeGraphError):
            self.flush()
        kept = bool(self.done)
        if not kept:
            with suppress(OSError):
                remove_tree(self._os, self.partial)
        self._end()
        return self.partial if kept else None

    def _end(self) -> None:
        self._ended = True
        self._files.close()
        with suppress(OSError):
            self._os.close(self._journal.fd)
        self._lock.release()

    def _prepare(self, small_files: Mapping[str, bytes]) -> None:
        self.flush()
        self._refuse_missing()
        files = _all_files(self._layout, small_files)
        with reporting(self._partial.target, RESUME):
            for shard in self._layout.shards:
                self._read_back(shard)
            self._write_files(files)

    def _publish(self) -> None:
        with reporting(self._partial.target, RESUME):
            replace = refuse_existing(self._os, self._partial.target, overwrite=self._overwrite)
            self._replaced_now = publish(self._os, self._partial, self._journal, replace=replace)

    def _sync(self) -> None:
        with reporting(self._partial.target, RESUME):
            sync_directory(self._os, self._partial.target.parent)

    def _withdraw(self) -> None:
        withdraw(self._os, self._partial, self._replaced_now)

    def _finish(self) -> None:
        clean_up(self._os, self._partial, self._replaced + self._replaced_now)
        self._end()

    def _refuse_missing(self) -> None:
        missing = self._layout.shard_of.keys() - self.done.keys()
        if missing:
            message = f"{len(missing)} tensors were never finished: {listed(sorted(missing))}"
            raise MergeGraphError(Diagnostic("MG613", message, place=str(self._partial.target), help=(RESUME,)))

    def _read_back(self, shard: Shard) -> None:
        path = self._path(shard)
        if not (partials.reads_back(self._os, path, shard) and _names(path) == shard.tensors.keys()):
            message = f"`{escape(shard.file)}` does not read back as it was written"
            help = ("check the disk; then start over without `--resume`",)
            raise MergeGraphError(Diagnostic("MG614", message, place=str(path), help=help))

    def _write_files(self, files: Mapping[str, bytes]) -> None:
        model = self._partial.model
        shards = {shard.file for shard in self._layout.shards}
        for stale in set(self._os.listdir(model)) - shards:
            remove_tree(self._os, model / stale)
        folders = {folder for name in files for folder in PurePosixPath(name).parents} - {PurePosixPath()}
        for folder in sorted(folders):
            self._os.mkdir(model / folder, 0o777)
        for name, data in files.items():
            write_file(self._os, model / name, data)
        for folder in (*folders, PurePosixPath(), PurePosixPath("..")):
            sync_directory(self._os, model / folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abandon()

    def _path(self, shard: Shard) -> Path:
        return self._partial.model / shard.file


def commit_all(outputs: Sequence[tuple[OutputDirectory, Mapping[str, bytes]]]) -> None:
    """Publish the outputs of one run, each with small files by their path in it: all of them, or none.

    The index is added where there is one. Everything that is likely to fail comes before the first output gets its
    name; signals wait until the last one has. Raise MG613 when tensors are missing and MG614 when a shard does not read
    back, besides what writing raises; the partial directories are then still there.
    """
    for output, small_files in outputs:
        output._prepare(small_files)
    with signals_deferred():
        _publish_all([output for output, _ in outputs])
    for output, _ in outputs:
        output._finish()


def _publish_all(outputs: Sequence[OutputDirectory]) -> None:
    """Rename every output, then wait until all names are on the disk; take all back where one of these fails."""
    published: list[OutputDirectory] = []
    try:
        for output in outputs:
            output._publish()
            published.append(output)
        for output in outputs:
            output._sync()
    except BaseException:
        for output in reversed(published):
            with suppress(OSError):
                output._withdraw()
        raise


def _names(path: Path) -> set[str]:
    try:
        with safe_open(path, framework="numpy") as file:
            return set(file.keys())
    except SafetensorError:
        return set()


def _all_files(layout: Layout, small_files: Mapping[str, bytes]) -> dict[str, bytes]:
    files = {**small_files, **layout.index_file}
    taken = {shard.file for shard in layout.shards}
    for name in files:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or str(path) != name or name in taken:
            raise ValueError(f"{name!r} can't be the name of a file in the output")
    return files
