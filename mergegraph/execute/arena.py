"""Memory for units: taken once, used again."""

from __future__ import annotations

import mmap
from threading import Lock

import torch

from mergegraph.dtypes import Dtype
from mergegraph.plan.plan import aligned

TORCH_DTYPES = {
    "float64": torch.float64,
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}


class Arena:
    """A piece of anonymous memory that buffers are cut from, front to back."""

    def __init__(self, nbytes: int) -> None:
        self.nbytes = max(nbytes, mmap.PAGESIZE)
        self._memory = mmap.mmap(-1, self.nbytes)
        self._view = memoryview(self._memory)
        self._used = 0

    def clear(self) -> None:
        """Take back all buffers; the memory stays resident for the next unit."""
        self._used = 0

    def release(self, start: int) -> None:
        """Give the memory from byte `start` on back to the system; it is there again when it is used."""
        start = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE
        if start < self.nbytes:
            self._memory.madvise(mmap.MADV_DONTNEED, start)

    def tensor(self, dtype: Dtype, count: int) -> tuple[torch.Tensor, memoryview]:
        """Return an uninitialised one-dimensional tensor and the view of its bytes."""
        nbytes = dtype.nbytes(count)
        raw = self.bytes(nbytes)
        if count == 0:
            return torch.empty(0, dtype=TORCH_DTYPES[dtype.name]), raw
        return torch.frombuffer(raw, dtype=TORCH_DTYPES[dtype.name], count=count), raw

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
