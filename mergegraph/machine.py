"""Ask the machine, or the container, for memory and processors."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from mergegraph.system import largest_resident_bytes, physical_bytes, usable_processors

_UNLIMITED = 1 << 60


def processors() -> int:
    """Return the number of processors this process may use."""
    return max(1, usable_processors())


def resident_bytes() -> int:
    """Return the resident memory of this process now; without /proc, the most it has had."""
    return _status("VmRSS") or largest_resident_bytes()


def peak_resident_bytes() -> int:
    """Return the most resident memory this process has had."""
    return _status("VmHWM") or largest_resident_bytes()


def allow_many_files() -> None:
    """Let this process open as many files as the system allows it to; each output of a sweep takes a few."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def available_bytes(root: Path = Path("/")) -> int:
    """Return the memory that this process can still take: what the machine has free, or what its container allows.

    Reads the limits of control groups of version 1 and 2. `root` is where /proc and /sys are looked for; without
    them it is all memory there is.
    """
    available = _fields(root / "proc/meminfo").get("MemAvailable")
    free = physical_bytes() if available is None else available + _resident(root)
    return min([free, *_container_limits(root)])


def _container_limits(root: Path) -> Iterator[int]:
    for line in _lines(root / "proc/self/cgroup"):
        number, controllers, path = line.split(":", 2)
        if number == "0":
            yield from _limits(root / "sys/fs/cgroup", path, "memory.max")
        elif "memory" in controllers.split(","):
            yield from _limits(root / "sys/fs/cgroup/memory", path, "memory.limit_in_bytes")


def _limits(mount: Path, path: str, name: str) -> Iterator[int]:
    """Yield the limit of a group and of every group around it; the mount itself may be the group."""
    folder = mount / path.strip("/")
    for place in (folder, *folder.parents):
        text = "".join(_lines(place / name))
        if text.isdigit() and int(text) < _UNLIMITED:
            yield int(text)
        if place == mount:
            return


def _resident(root: Path) -> int:
    return _fields(root / "proc/self/status").get("VmRSS", 0)


def _status(name: str) -> int:
    return _fields(Path("/proc/self/status")).get(name, 0)


def _fields(path: Path) -> dict[str, int]:
    """Return the sizes in a table of `Name:   123 kB` lines, in bytes."""
    found = {}
    for line in _lines(path):
        name, _, rest = line.partition(":")
        words = rest.split()
        if len(words) == 2 and words[1] == "kB":
            found[name] = int(words[0]) * 1024
    return found


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
