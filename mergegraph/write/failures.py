"""Turn what the operating system refuses into diagnostics."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mergegraph.diagnostics import Diagnostic, MergeGraphError, escape
from mergegraph.sizes import format_size

_FULL = (errno.ENOSPC, errno.EDQUOT)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
RESUME = "continue with `--resume`: what is finished is kept"


@contextmanager
def reporting(path: Path, *help: str) -> Iterator[None]:
    """Raise an OSError of the block as MG605 (forbidden), MG608 (full), MG682 (too large) or MG610 (anything else)."""
    try:
        yield
    except OSError as error:
        raise MergeGraphError(_diagnostic(error, path, help)) from error


def _diagnostic(error: OSError, path: Path, help: tuple[str, ...]) -> Diagnostic:
    if error.errno in _FULL:
        free = "free some space on this disk, or choose an output on another one"
        return Diagnostic("MG608", "the disk is full", place=str(path), help=(free, *help), status=4)
    if error.errno == errno.EFBIG:
        message = "a file of the output is larger than the system lets files be here"
        limit = 'raise the limit (`ulimit -f unlimited`), or save smaller shards: `save … with shard_size="1GB"`'
        return Diagnostic("MG682", message, place=str(path), help=(limit, *help), status=4)
    if error.errno in _FORBIDDEN:
        return Diagnostic("MG605", f"writing is not allowed here: {_reason(error)}", place=str(path), help=help)
    return Diagnostic("MG610", f"writing failed: {_reason(error)}", place=str(path), help=help)


def _reason(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else escape(str(error))


def no_room(target: Path, needed: int, free: int, help: tuple[str, ...]) -> MergeGraphError:
    """Return MG608 for an output that takes `needed` bytes where only `free` are left."""
    message = (
        f"`{escape(target.name)}` needs {format_size(needed)} of disk, {format_size(max(free, 0))} are free: "
        f"{format_size(needed - free)} are missing"
    )
    free_some = "free some space on this disk, or choose an output on another one"
    return MergeGraphError(Diagnostic("MG608", message, place=str(target), help=(free_some, *help), status=4))
