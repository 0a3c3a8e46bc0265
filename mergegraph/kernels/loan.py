"""Lend kernels the memory they work in, and lend it again in the same thread when they are done.

Memory that is allocated for each kernel and freed after it stays with the process in part, so that its peak would
depend on how many kernels have run. Lent memory adds up to what kernels hold at one time.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class _Idle(threading.local):
    def __init__(self) -> None:
        self.things: defaultdict[object, list[object]] = defaultdict(list)


idle = _Idle()
"""What each thread has at hand, by what it was made from."""


class Loan(Generic[T]):
    """Something made by `make(*given)` or used before, which goes back when nobody holds the loan any more."""

    def __init__(self, make: Callable[..., T], *given: Any) -> None:
        self._key = make, given
        free = idle.things[self._key]
        self.value: T = free.pop() if free else make(*given)  # type: ignore[assignment]

    def __del__(self) -> None:
        idle.things[self._key].append(self.value)
