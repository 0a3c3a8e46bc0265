"""Name every operation on the file system that the writer does."""

from __future__ import annotations

import fcntl
import os

from mergegraph import system


class Os:
    """The operations themselves. Tests put an object in its place that makes any one of them fail."""

    open = staticmethod(os.open)
    close = staticmethod(os.close)
    pwrite = staticmethod(os.pwrite)
    preadv = staticmethod(os.preadv)
    posix_fallocate = staticmethod(system.reserve)
    ftruncate = staticmethod(os.ftruncate)
    fdatasync = staticmethod(system.sync_data)
    fsync = staticmethod(os.fsync)
    flock = staticmethod(fcntl.flock)
    fstat = staticmethod(os.fstat)
    lstat = staticmethod(os.lstat)
    statvfs = staticmethod(os.statvfs)
    listdir = staticmethod(os.listdir)
    mkdir = staticmethod(os.mkdir)
    rename = staticmethod(os.rename)
    unlink = staticmethod(os.unlink)
    rmdir = staticmethod(os.rmdir)


REAL = Os()
