"""Open input files without trusting them: regular files only, known by device, inode, size and time."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mergegraph.checkpoint.faults import fault
from mergegraph.diagnostics import MergeGraphError

_KINDS = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


@dataclass(frozen=True, slots=True)
class FileIdentity:
    """What tells one state of a file from another, without reading it."""

    device: int
    inode: int
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> FileIdentity:
        """Return the identity in an answer of `stat`."""
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)

    def same_state(self, other: FileIdentity) -> bool:
        """Tell whether nothing was written between the two.

        Devices are not compared: machines number the same network filesystem differently.
        """
        return (self.inode, self.size, self.mtime_ns) == (other.inode, other.size, other.mtime_ns)


def open_regular(path: Path) -> int:
    """Return a descriptor for reading `path`, which must be a regular file.

    Raises MG501 when there is nothing, MG502 for pipes, sockets, devices and directories (never waiting for
    their other end), MG503 when the system refuses, MG520 for a loop of links.
    """
    try:
        _check_regular(os.stat(path), path)
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise unreadable(path, error) from error
    try:
        _check_regular(os.fstat(descriptor), path)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


@contextmanager
def opened(path: Path) -> Iterator[tuple[int, os.stat_result]]:
    """Give a descriptor of a regular file and its status, for the length of a block. Raises as `open_regular`."""
    descriptor = open_regular(path)
    try:
        yield descriptor, os.fstat(descriptor)
    finally:
        os.close(descriptor)


def read_exactly(descriptor: int, offset: int, size: int, path: Path) -> bytes:
    """Return `size` bytes at `offset`. Raises MG503 when reading fails, MG531 when the file ends before."""
    parts: list[bytes] = []
    missing = size
    while missing:
        try:
            part = os.pread(descriptor, missing, offset + size - missing)
        except OSError as error:
            raise unreadable(path, error) from error
        if not part:
            raise ended_early(path, descriptor)
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def read_small(path: Path, limit: int, what: str) -> bytes:
    """Return the whole of a file of at most `limit` bytes; `what` names it in the MG505 raised when it is longer."""
    with opened(path) as (descriptor, status):
        if status.st_size > limit:
            raise fault("MG505", f"the {what} is {status.st_size:,} bytes long; at most {limit:,} are read", path)
        return read_exactly(descriptor, 0, status.st_size, path)


def unreadable(path: Path, error: OSError) -> MergeGraphError:
    """Return the error for what the system said about a file."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return fault("MG501", "there is no such file", path)
    if error.errno == errno.ELOOP:
        return fault("MG520", "the links lead in a circle", path)
    return fault("MG503", f"the file cannot be read: {error.strerror}", path)


def ended_early(path: Path, descriptor: int) -> MergeGraphError:
    """Return the error for an open file that is no longer as long as it was."""
    size = os.fstat(descriptor).st_size
    return fault("MG531", f"the file was truncated while it was read: it now ends at byte {size:,}", path)


def _check_regular(status: os.stat_result, path: Path) -> None:
    if stat.S_ISREG(status.st_mode):
        return
    kind = next((name for test, name in _KINDS if test(status.st_mode)), "something else")
    raise fault("MG502", f"this is {kind}, not a file", path)
