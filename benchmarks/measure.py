"""Run a command and measure what it cost; hash what it wrote."""

from __future__ import annotations

import hashlib
import os
import statistics
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

TRIES = 3


@dataclass(frozen=True)
class Cost:
    """What one process took: wall and CPU seconds, and the peak of its resident memory in bytes (VmHWM).

    The peak can't be below that of the process that started it, so this module imports nothing large.
    """

    seconds: float
    cpu_seconds: float
    peak_bytes: int


class CommandError(RuntimeError):
    """A measured command ended with an error; the message holds the end of its log."""


def measure(command: Sequence[str], log: Path) -> Cost:
    """Run a command with its output in `log`, standard output last line included; raise `CommandError` if it fails."""
    with log.open("wb") as file:
        start = time.perf_counter()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, env=_environment()
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-30:])
        raise CommandError(f"{' '.join(command)} ended with {process.returncode}:\n{tail}")
    return Cost(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def _environment() -> dict[str, str]:
    """Return the environment of a process whose code is compiled once, as that of an installed package is."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def median(costs: Sequence[Cost]) -> Cost:
    """Return the median of the times and the largest peak."""
    return Cost(
        statistics.median(cost.seconds for cost in costs),
        statistics.median(cost.cpu_seconds for cost in costs),
        max(cost.peak_bytes for cost in costs),
    )


def hash_weights(folder: Path) -> str:
    """Return the SHA-256 over a model's `*.safetensors` files in the order of their names."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def warm(folder: Path) -> None:
    """Read every file below a folder once, so that the first run finds them in the page cache like the others."""
    for path in sorted(folder.rglob("*.safetensors")):
        with path.open("rb") as file:
            while file.read(1 << 20):
                pass
    os.sync()


def level(folder: Path, nbytes: int) -> None:
    """Fill so much of the page cache with a file and free it, so that each run finds memory in the same state.

    The host of a virtual machine may take back what was free for some seconds, and the next to fill it pays for that.
    """
    block = bytes(1 << 20)
    path = folder / "level"
    with path.open("wb", buffering=0) as file:
        for _ in range(0, nbytes, len(block)):
            file.write(block)
    path.unlink()


def cool(folder: Path) -> None:
    """Drop every file below a folder from the page cache. Pages that were touched a moment ago may take another try."""
    os.sync()
    for _ in range(TRIES):
        for path in sorted(folder.rglob("*.safetensors")):
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
