"""Keep two runs from writing one output."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
from dataclasses import dataclass
from pathlib import Path

from mergegraph.diagnostics import Diagnostic, MergeGraphError, escape
from mergegraph.write.files import pwrite_all, read_bytes
from mergegraph.write.os import Os

_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)


@dataclass(frozen=True, slots=True)
class OutputLock:
    """A held lock: a file beside the output, locked until `release` or the end of the process.

    A file that a killed process left behind holds nothing. Where a file system has no locks, only the unique names of
    partial directories keep runs apart.
    """

    os: Os
    path: Path
    fd: int

    @classmethod
    def acquire(cls, os_: Os, target: Path) -> OutputLock:
        """Lock the output `target`, or raise MG607 that names the process that holds it."""
        path = target.with_name(f"{target.name}.partial.lock")
        while True:
            fd = os_.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
            try:
                _lock(os_, fd, target)
                if _is_at(os_, fd, path):
                    os_.ftruncate(fd, 0)
                    pwrite_all(os_, fd, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
                    return cls(os_, path, fd)
            except BaseException:
                os_.close(fd)
                raise
            os_.close(fd)

    def release(self) -> None:
        """Remove the file, then let go: whoever opened it meanwhile sees that it has gone and starts over."""
        with contextlib.suppress(OSError):
            self.os.unlink(self.path)
        with contextlib.suppress(OSError):
            self.os.close(self.fd)


def _lock(os_: Os, fd: int, target: Path) -> None:
    try:
        os_.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise MergeGraphError(_held(read_bytes(os_, fd, 0, 200), target)) from error
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise


def _is_at(os_: Os, fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os_.fstat(fd), os_.lstat(path))
    except FileNotFoundError:
        return False


def _held(holder: bytes, target: Path) -> Diagnostic:
    who = " ".join(holder.decode("utf-8", "replace").split()) or "process unknown"
    return Diagnostic(
        "MG607",
        f"another run is writing `{escape(target.name)}`: {escape(who)}",
        place=str(target),
        help=("wait until it has ended, or choose another output",),
    )
