"""Calls that Linux has and other systems may lack, and advice on memory, which changes no byte of anything."""

from __future__ import annotations

import errno
import os
import resource
import sys
from contextlib import suppress
from pathlib import Path

M_MMAP_THRESHOLD = -3
"""The number of a setting in the malloc.h of GNU's C library."""


def will_read(descriptor: int, offset: int, nbytes: int) -> None:
    """Have bytes of a file fetched that will be read soon, without waiting for them."""
    _advise(descriptor, offset, nbytes, "POSIX_FADV_WILLNEED")


def write_back(descriptor: int, offset: int, nbytes: int) -> None:
    """Have bytes that were just written sent to the disk, without waiting: a sync then finds little left to do.

    Linux takes the advice that they aren't needed for that, and keeps pages that are still on their way.
    """
    _advise(descriptor, offset, nbytes, "POSIX_FADV_DONTNEED")


def forget(descriptor: int) -> None:
    """Have what the page cache holds of a file given back, but for what is not on the disk yet."""
    _advise(descriptor, 0, sys.maxsize, "POSIX_FADV_DONTNEED")


def _advise(descriptor: int, offset: int, nbytes: int, advice: str) -> None:
    if nbytes > 0 and hasattr(os, "posix_fadvise"):
        with suppress(OSError):
            os.posix_fadvise(descriptor, offset, nbytes, getattr(os, advice))


def give_back_what_is_freed() -> None:
    """Have memory that is allocated a megabyte or more at a time given back to the system when it is freed.

    The allocator of GNU's C library else raises that size as it sees such memory freed, up to 32 MB, and keeps what is
    smaller in pieces: the peak would depend on the order in which kernels have run.
    """
    from ctypes import CDLL

    with suppress(OSError, AttributeError):
        CDLL(None).mallopt(M_MMAP_THRESHOLD, 1 << 20)


def sync_data(descriptor: int) -> None:
    """Wait until the data of a file is on the disk, and of its attributes what is needed to find it."""
    (os.fdatasync if hasattr(os, "fdatasync") else os.fsync)(descriptor)


def reserve(descriptor: int, offset: int, nbytes: int) -> None:
    """Give a part of a file its blocks. Raise OSError with ENOSYS where the system has no call for that."""
    if not hasattr(os, "posix_fallocate"):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    os.posix_fallocate(descriptor, offset, nbytes)


def usable_processors() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def physical_bytes() -> int:
    """Return the memory of the machine."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def largest_resident_bytes() -> int:
    """Return the most resident memory of this process; on Linux, that of the process that started it at the least."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def cache_folder() -> Path:
    """Return the folder of what can be made again: `mergegraph` in the one that XDG_CACHE_HOME names, or `~/.cache`."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    # A path that is not absolute is to be ignored, says the XDG Base Directory Specification.
    return (Path(named) if os.path.isabs(named) else Path("~/.cache").expanduser()) / "mergegraph"
