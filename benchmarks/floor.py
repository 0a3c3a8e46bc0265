"""Move the bytes of a merge and do nothing else: read inputs once, write as many bytes as an output has.

    python benchmarks/floor.py OUT OUTPUT_BYTES FILE ...

It makes the calls that a merge makes: `preadv` into a buffer that is used again, `posix_fallocate`, `pwrite`, the same
advice on the page cache, and `fdatasync` at the end. What it takes is the least that any merge of these files can take
with them; no tensor library is loaded, nothing is computed, nothing hashed.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

WINDOW = 1 << 20


def main(arguments: list[str]) -> int:
    """Read all files, then write the output."""
    out, nbytes, *files = arguments
    buffer = memoryview(bytearray(WINDOW))
    for file in files:
        _read(Path(file), buffer)
    _write(Path(out), int(nbytes), buffer)
    return 0


def _read(path: Path, buffer: memoryview) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    offset = 0
    while count := os.preadv(descriptor, [buffer], offset):
        offset += count
        os.posix_fadvise(descriptor, offset, WINDOW, os.POSIX_FADV_WILLNEED)
    os.close(descriptor)


def _write(path: Path, nbytes: int, buffer: memoryview) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o666)
    os.posix_fallocate(descriptor, 0, nbytes)
    for offset in range(0, nbytes, WINDOW):
        count = os.pwrite(descriptor, buffer[: min(WINDOW, nbytes - offset)], offset)
        os.posix_fadvise(descriptor, offset, count, os.POSIX_FADV_DONTNEED)
    os.fdatasync(descriptor)
    os.close(descriptor)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
