"""Read parts of many files from many threads, and notice when they change."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Self

from mergegraph.checkpoint.faults import fault
from mergegraph.checkpoint.files import FileIdentity, ended_early, open_regular, unreadable
from mergegraph.diagnostics import MergeGraphError
from mergegraph.system import will_read

MAX_OPEN = 512
"""How many files are kept open; more of them are opened again when they are needed."""

PIECE = 1 << 20
"""Bytes that are read at a time, while as many behind them are fetched."""


@dataclass(slots=True)
class _OpenFile:
    descriptor: int
    readers: int = 0


class FileSet:
    """Files that stay open for the length of a `with` block.

    `identities`, when given, are those of the files' headers: a file that is no longer the same when it is opened
    raises MG530; one without an identity, which may not be there yet, is opened when it is first read. Of up to `limit`
    files all others are opened at the start, so that one that is replaced by a rename goes on being read as it was; of
    more files the least recently used are closed, and a replaced one raises MG530.
    """

    def __init__(
        self, paths: Sequence[Path], identities: Sequence[FileIdentity | None] | None = None, *, limit: int = MAX_OPEN
    ) -> None:
        self._paths = tuple(paths)
        self._known = {file: identity for file, identity in enumerate(identities or ()) if identity is not None}
        self._early = [*range(len(paths))] if identities is None else [*self._known]
        self._limit = limit
        self._open: OrderedDict[int, _OpenFile] = OrderedDict()
        self._lock = Lock()

    def __enter__(self) -> Self:
        try:
            for file in self._early[: self._limit]:
                self._open[file] = self._opened(file)
        except BaseException:
            self._close_all()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close_all()

    def read_into(self, file: int, offset: int, buffer: memoryview, ahead: int = 0) -> None:
        """Fill `buffer`, which is contiguous, with the bytes at `offset` of file number `file`. Safe in threads.

        Of the `ahead` bytes behind it, which will be read later, the first are fetched while the caller computes.
        Raises MG531 when the file ends before, MG503 when the system can't read it, MG530 when it was replaced.
        """
        rest = buffer.cast("B")
        with self._held(file) as descriptor:
            while rest:
                piece = rest[:PIECE]
                will_read(descriptor, offset + len(piece), min(PIECE, len(rest) - len(piece) + ahead))
                try:
                    count = os.preadv(descriptor, [piece], offset)
                except OSError as error:
                    raise unreadable(self._paths[file], error) from error
                if count == 0:
                    raise ended_early(self._paths[file], descriptor)
                offset += count
                rest = rest[count:]

    def will_read(self, file: int, offset: int, nbytes: int) -> None:
        """Have a part of a file fetched that will be read soon. Raises as `read_into`."""
        with self._held(file) as descriptor:
            for start in range(offset, offset + nbytes, PIECE):
                will_read(descriptor, start, min(PIECE, offset + nbytes - start))

    def check_unchanged(self) -> None:
        """Raise MG530 for every file that was written to since it was opened or its header was read."""
        with self._lock:
            errors = [_changed(self._paths[file]) for file in self._known if not self._is_unchanged(file)]
        if errors:
            raise MergeGraphError(*(error.diagnostics[0] for error in errors))

    @contextmanager
    def _held(self, file: int) -> Iterator[int]:
        """Give the descriptor of a file, which is not closed meanwhile."""
        with self._lock:
            found = self._open.get(file) or self._reopened(file)
            self._open.move_to_end(file)
            found.readers += 1
        try:
            yield found.descriptor
        finally:
            with self._lock:
                found.readers -= 1

    def _reopened(self, file: int) -> _OpenFile:
        idle = [other for other, held in self._open.items() if held.readers == 0]
        for other in idle[: max(0, len(self._open) + 1 - self._limit)]:
            os.close(self._open.pop(other).descriptor)
        self._open[file] = self._opened(file)
        return self._open[file]

    def _opened(self, file: int) -> _OpenFile:
        path = self._paths[file]
        descriptor = open_regular(path)
        identity = FileIdentity.of(os.fstat(descriptor))
        if not identity.same_state(self._known.setdefault(file, identity)):
            os.close(descriptor)
            raise _changed(path)
        return _OpenFile(descriptor)

    def _is_unchanged(self, file: int) -> bool:
        held = self._open.get(file)
        try:
            status = os.fstat(held.descriptor) if held else os.stat(self._paths[file])
        except OSError:
            return False
        return FileIdentity.of(status).same_state(self._known[file])

    def _close_all(self) -> None:
        while self._open:
            os.close(self._open.popitem()[1].descriptor)


def _changed(path: Path) -> MergeGraphError:
    help = "run again: inputs must not be written to while they are merged"
    return fault("MG530", "the file has changed since its header was read", path, help)
