"""Write, read back and remove files, through an `Os`."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from threading import Lock

from mergegraph.write.digest import Buffer, TensorDigest
from mergegraph.write.os import Os

CHUNK = 1 << 20
_NOT_SUPPORTED = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)


def pwrite_all(os_: Os, fd: int, buffer: Buffer, offset: int) -> None:
    """Write the whole of a C-contiguous buffer at `offset`, however many calls it takes."""
    view = memoryview(buffer)
    rest = view.cast("B") if view.nbytes else memoryview(b"")
    while rest:
        written = os_.pwrite(fd, rest, offset)
        if written == 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        rest, offset = rest[written:], offset + written


def read_range(os_: Os, fd: int, offset: int, nbytes: int) -> Iterator[memoryview]:
    """Yield the bytes of a range in pieces of one reused buffer; fewer where the file ends early."""
    buffer = memoryview(bytearray(min(nbytes, CHUNK)))
    while nbytes:
        got = os_.preadv(fd, [buffer[: min(nbytes, CHUNK)]], offset)
        if got == 0:
            return
        yield buffer[:got]
        offset, nbytes = offset + got, nbytes - got


def read_bytes(os_: Os, fd: int, offset: int, nbytes: int) -> bytes:
    """Return the bytes of a range, fewer where the file ends early."""
    return b"".join(bytes(piece) for piece in read_range(os_, fd, offset, nbytes))


def digest_range(os_: Os, fd: int, offset: int, nbytes: int) -> str:
    """Return the digest of a range of a file, read in pieces of 1 MiB."""
    digest = TensorDigest()
    for piece in read_range(os_, fd, offset, nbytes):
        digest.update(piece)
    return digest.label


def preallocate(os_: Os, fd: int, nbytes: int) -> None:
    """Give a file its final size and its blocks, or only the size where the file system can't reserve blocks."""
    try:
        os_.posix_fallocate(fd, 0, nbytes)
    except OSError as error:
        if error.errno not in _NOT_SUPPORTED:
            raise
        os_.ftruncate(fd, nbytes)


@contextlib.contextmanager
def opened(os_: Os, path: Path, flags: int = os.O_RDWR) -> Iterator[int]:
    """Open a file for the block; what it creates has the mode that the umask leaves."""
    fd = os_.open(path, flags | os.O_CLOEXEC, 0o666)
    try:
        yield fd
    finally:
        os_.close(fd)


def write_file(os_: Os, path: Path, data: bytes) -> None:
    """Write a small file and wait until it is on the disk."""
    with opened(os_, path, os.O_RDWR | os.O_CREAT | os.O_TRUNC) as fd:
        pwrite_all(os_, fd, data, 0)
        os_.fsync(fd)


def sync_directory(os_: Os, path: Path) -> None:
    """Wait until the names in a directory are on the disk."""
    with opened(os_, path, os.O_RDONLY | os.O_DIRECTORY) as fd:
        os_.fsync(fd)


def remove_tree(os_: Os, path: Path) -> None:
    """Remove a file, a link (never what it points to), or a directory and all in it."""
    if not stat.S_ISDIR(os_.lstat(path).st_mode):
        os_.unlink(path)
        return
    for name in sorted(os_.listdir(path)):
        remove_tree(os_, path / name)
    os_.rmdir(path)


class FilePool:
    """Lend open files to threads, and close the longest unused ones beyond `limit`."""

    def __init__(self, os_: Os, limit: int = 16) -> None:
        self._os = os_
        self._limit = limit
        self._lock = Lock()
        self._users: dict[Path, int] = {}
        self._fds: dict[Path, int] = {}

    @contextlib.contextmanager
    def lend(self, path: Path) -> Iterator[int]:
        """Open an existing file, or take it from the pool, for reading and writing in the block."""
        with self._lock:
            fd = self._fds.pop(path, None)
            self._fds[path] = fd if fd is not None else self._os.open(path, os.O_RDWR | os.O_CLOEXEC)
            self._users[path] = self._users.get(path, 0) + 1
            fd = self._fds[path]
        try:
            yield fd
        finally:
            with self._lock:
                self._users[path] -= 1
                self._close_unused()

    def close(self) -> None:
        """Close every file; what was written and not synced may be lost."""
        with self._lock:
            while self._fds:
                with contextlib.suppress(OSError):
                    self._os.close(self._fds.popitem()[1])

    def _close_unused(self) -> None:
        idle = [path for path in self._fds if not self._users[path]]
        for path in idle[: max(0, len(self._fds) - self._limit)]:
            self._os.close(self._fds.pop(path))
