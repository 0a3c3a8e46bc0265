"""Memory for units: taken once, used again."""

from __future__ import annotations

import mmap
from ctypes import addressof, c_char
from dataclasses import dataclass
from threading import Lock

from mergegraph.dtypes import Dtype
from mergegraph.plan.plan import aligned


@dataclass(frozen=True, slots=True)
class Buffer:
    """Memory for elements of a type: where it is, and the view of its bytes."""

    dtype: Dtype
    address: int
    raw: memoryview


class Arena:
    """A piece of anonymous memory that buffers are cut from, front to back."""

    def __init__(self, nbytes: int) -> None:
        self.nbytes = max(nbytes, mmap.PAGESIZE)
        self._memory = mmap.mmap(-1, self.nbytes)
        self._view = memoryview(self._memory)
        self._address = addressof(c_char.from_buffer(self._memory))
        self._used = 0

    def clear(self) -> None:
        """Take back all buffers; the memory stays resident for the next unit."""
        self._used = 0

    def release(self, start: int) -> None:
        """Give the memory from byte `start` on back to the system; it is there again when it is used."""
        start = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE
        if start < self.nbytes:
            self._memory.madvise(mmap.MADV_DONTNEED, start)

    def buffer(self, dtype: Dtype, count: int) -> Buffer:
        """Return uninitialised memory for `count` elements."""
        address = self._address + self._used
        return Buffer(dtype, address, self.bytes(dtype.nbytes(count)))

    def bytes(self, nbytes: int) -> memoryview:
        """Return the view of `nbytes` bytes that nothing else uses."""
        start = self._used
        self._used += aligned(nbytes)
        if self._used > self.nbytes:
            raise MemoryError(f"a unit needs more than the {self.nbytes} bytes planned for it")
        return self._view[start : start + nbytes]


class Pool:
    """Arenas that come back. Those in use never add up to more than what was reserved for them."""

    def __init__(self) -> None:
        self._free: list[Arena] = []
        self._lock = Lock()

    def take(self, nbytes: int) -> Arena:
        """Return an arena of at least `nbytes`: the smallest idle one, or a new one in place of an idle one."""
        with self._lock:
            fitting = [arena for arena in self._free if arena.nbytes >= nbytes]
            if fitting:
                found = min(fitting, key=lambda arena: arena.nbytes)
                self._free.remove(found)
                found.clear()
                return found
            if self._free:
                self._free.remove(max(self._free, key=lambda arena: arena.nbytes))
        return Arena(nbytes)

    def give(self, arena: Arena) -> None:
        """Take an arena back."""
        with self._lock:
            self._free.append(arena)
