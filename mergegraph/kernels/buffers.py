"""Lend kernels the memory they work in, and lend it again in the same thread when they are done.

Memory that is allocated for each kernel and freed after it stays with the process in part, so that its peak would
depend on how many kernels have run. Lent memory adds up to what kernels hold at one time.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable
from typing import Generic, TypeVar

import torch

from mergegraph.kernels.tile import BLOCK

T = TypeVar("T")


class _Idle(threading.local):
    def __init__(self) -> None:
        self.things: defaultdict[object, list[object]] = defaultdict(list)


_idle = _Idle()


class Loan(Generic[T]):
    """Something made by `make(device)` or used before, which goes back when nobody holds the loan any more."""

    def __init__(self, make: Callable[[torch.device], T], device: torch.device) -> None:
        self._key = make, device
        free = _idle.things[self._key]
        self.value: T = free.pop() if free else make(device)  # type: ignore[assignment]

    def __del__(self) -> None:
        _idle.things[self._key].append(self.value)


def shared(dtype: torch.dtype, place: int, device: torch.device) -> torch.Tensor:
    """Return room for a block that every kernel of this thread may write, and none may leave anything in.

    `place` tells apart what one kernel uses at the same time.
    """
    key = dtype, place, device
    if not _idle.things[key]:
        _idle.things[key].append(torch.empty(BLOCK, dtype=dtype, device=device))
    room = _idle.things[key][0]
    assert isinstance(room, torch.Tensor)
    return room
