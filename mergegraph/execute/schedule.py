"""Let dask execute units in the order and within the memory of our plan."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from dask.callbacks import Callback
from dask.threaded import get

Key = tuple[str, int]


class RankQueue:
    """Stands for dask's list of ready tasks: gives them out by rank, and only while their memory is free.

    Its length is how many tasks may start now, which is all that dask asks before it takes one. Memory is reserved
    for a whole unit when it starts and released when it ends, so units can never wait for each other.
    """

    def __init__(self, peaks: Sequence[int], capacity: int, workers: int) -> None:
        self._peaks = peaks
        self._capacity = capacity
        self._workers = workers
        self._waiting: list[int] = []
        self._reserved = 0

    def fill(self, ranks: Sequence[int]) -> None:
        """Take over the tasks that are ready at the start."""
        self._waiting = sorted(ranks, reverse=True)

    def __len__(self) -> int:
        """Return how many of the next tasks by rank have memory to start, up to the number of workers."""
        reserved, count = self._reserved, 0
        for rank in reversed(self._waiting[-self._workers :]):
            reserved += self._peaks[rank]
            if reserved > self._capacity and reserved > self._peaks[rank]:
                break
            count += 1
        return count

    def pop(self) -> Key:
        """Return the next task by rank, its memory reserved."""
        rank = self._waiting.pop()
        self._reserved += self._peaks[rank]
        return ("unit", rank)

    def release(self, rank: int) -> None:
        """Give back the memory of a task that ended."""
        self._reserved -= self._peaks[rank]


def run_units(
    function: Callable[[int], Any],
    peaks: Mapping[int, int],
    *,
    capacity: int,
    workers: int,
    finished: Callable[[int, Any], None],
    stop: Callable[[], None],
) -> None:
    """Call `function(rank)` for every key of `peaks`, one dask task each, on `workers` threads.

    Tasks start in order of rank, while the peaks of those running sum to at most `capacity`. `finished` is called
    with the result of each, in the calling thread. The first exception ends the run and is raised, after `stop` was
    called and the running tasks have come to an end.
    """
    table = [peaks.get(rank, 0) for rank in range(max(peaks, default=-1) + 1)]
    queue = RankQueue(table, capacity, workers)
    tasks: dict[Any, Any] = {("unit", rank): (function, rank) for rank in peaks}
    if not tasks:
        return

    def start_state(_: Any, state: dict[str, Any]) -> None:
        queue.fill([rank for _, rank in state["ready"]])
        state["ready"] = queue

    def posttask(key: Key, result: Any, *_: Any) -> None:
        queue.release(key[1])
        finished(key[1], result)

    with ThreadPoolExecutor(workers, thread_name_prefix="mergegraph") as pool:
        try:
            with Callback(start_state=start_state, posttask=posttask):  # type: ignore[no-untyped-call]
                get(tasks, list(tasks), pool=pool, num_workers=workers)
        except BaseException:
            stop()
            raise
