"""Journal finished tensors in batches, each only after its data is on the disk."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from threading import Lock
from types import MappingProxyType

from mergegraph.system import forget
from mergegraph.write.files import FilePool
from mergegraph.write.journal import Journal
from mergegraph.write.os import Os

SYNC_BYTES = 256_000_000
SYNC_SECONDS = 2.0


class Ledger:
    """Hold what is written but not yet synced. One thread at a time syncs a batch, the others go on.

    What is synced stays in the page cache if it is to be `cached`.
    """

    def __init__(
        self,
        os_: Os,
        files: FilePool,
        journal: Journal,
        done: Mapping[str, str],
        written: Iterable[Path],
        *,
        cached: bool,
    ) -> None:
        self._os = os_
        self._cached = cached
        self._files = files
        self._journal = journal
        self._lock = Lock()
        self._syncing = Lock()
        self._done: Mapping[str, str] = MappingProxyType(dict(done))
        self._pending: dict[str, str] = {}
        self._unsynced = set(written)
        self._nbytes = 0
        self._synced_at = time.monotonic()
        self._failure: OSError | None = None

    @property
    def done(self) -> Mapping[str, str]:
        """The digests of all tensors that survive a crash, as of now."""
        return self._done

    def touch(self, path: Path) -> None:
        """Note that a file has new data."""
        with self._lock:
            self._unsynced.add(path)

    def add(self, digests: Mapping[str, str], nbytes: int) -> None:
        """Take finished tensors of `nbytes` in all; sync and journal them when a batch is full or old."""
        with self._lock:
            self._pending.update(digests)
            self._nbytes += nbytes
            due = self._nbytes >= SYNC_BYTES or time.monotonic() - self._synced_at >= SYNC_SECONDS
        if due and self._syncing.acquire(blocking=False):
            try:
                self._sync()
            finally:
                self._syncing.release()

    def flush(self) -> None:
        """Sync and journal everything."""
        with self._syncing:
            self._sync()

    def _sync(self) -> None:
        if self._failure is not None:
            raise OSError(*self._failure.args)
        digests, paths = self._take()
        try:
            for path in sorted(paths):
                with self._files.lend(path) as fd:
                    self._os.fdatasync(fd)
                    if not self._cached:
                        forget(fd)
            self._journal.append_digests(digests)
        except BaseException as error:
            self._put_back(digests, paths)
            if isinstance(error, OSError):
                # After a failed sync the kernel takes lost pages for clean: a second try would report success.
                self._failure = error
            raise
        self._done = MappingProxyType({**self._done, **digests})

    def _take(self) -> tuple[dict[str, str], set[Path]]:
        with self._lock:
            taken = self._pending, self._unsynced
            self._pending, self._unsynced = {}, set()
            self._nbytes = 0
            self._synced_at = time.monotonic()
        return taken

    def _put_back(self, digests: dict[str, str], paths: set[Path]) -> None:
        with self._lock:
            self._pending = digests | self._pending
            self._unsynced |= paths
