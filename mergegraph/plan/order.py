"""Order the operations on a tile so that as few tiles as possible are alive at a time."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

EFFORT = 20_000_000
"""What the exact search may cost before it gives up: sets of finished tasks times the square of the number of tasks."""


@dataclass(frozen=True, slots=True)
class Task:
    """One operation: the tasks whose results it needs, whether its own result takes a tile, and whether it may be
    written over an input that nothing needs any more."""

    inputs: tuple[int, ...]
    holds: bool
    in_place: bool


@dataclass(frozen=True, slots=True)
class Order:
    """A sequence of tasks, the most tiles alive during it, and the proven least of any sequence."""

    sequence: tuple[int, ...]
    peak: int
    bound: int

    @property
    def optimal(self) -> bool:
        """Tell whether no order needs fewer."""
        return self.peak == self.bound


@cache
def least_peak_order(tasks: tuple[Task, ...], effort: int = EFFORT) -> Order:
    """Return the order of least peak, found by best-first search over sets of finished tasks.

    Beyond `effort` it is the depth-first order in the manner of Sethi and Ullman (The generation of optimal code
    for arithmetic expressions, 1970), with the bound that the search had proven by then.
    """
    fallback = depth_first(tasks)
    upper = simulate(tasks, fallback)
    found, bound = _search(_Liveness(tasks), upper, effort // max(1, len(tasks)) ** 2)
    if found is None:
        return Order(tuple(fallback), upper, min(bound, upper))
    return Order(found, bound, bound)


def simulate(tasks: Sequence[Task], sequence: Sequence[int]) -> int:
    """Return the most tiles alive while tasks run in this order. ValueError if it is no topological order."""
    live = _Liveness(tasks)
    done, peak = 0, 0
    for task in sequence:
        if live.needs[task] & ~done or done >> task & 1:
            raise ValueError(f"task {task} can't run here")
        peak = max(peak, live.during(done, task))
        done |= 1 << task
    if done != (1 << len(tasks)) - 1:
        raise ValueError("some tasks never run")
    return peak


def depth_first(tasks: Sequence[Task]) -> list[int]:
    """Return a depth-first order in which, of the inputs of a task, the one that needs most tiles comes first."""
    need = _tiles_needed(tasks)
    used = {i for task in tasks for i in task.inputs}
    sequence: list[int] = []
    seen: set[int] = set()
    for root in sorted((i for i in range(len(tasks)) if i not in used), key=lambda i: (-need[i], i)):
        stack = [(root, False)]
        while stack:
            task, ready = stack.pop()
            if ready:
                sequence.append(task)
            elif task not in seen:
                seen.add(task)
                stack.append((task, True))
                children = sorted(set(tasks[task].inputs), key=lambda i: (need[i], -i))
                stack.extend((child, False) for child in children if child not in seen)
    return sequence


def _tiles_needed(tasks: Sequence[Task]) -> list[int]:
    """Return Sethi and Ullman's number of each task, as if every result were used once."""
    need: list[int] = []
    for task in tasks:
        children = sorted((need[i] for i in set(task.inputs)), reverse=True)
        need.append(max([n + i for i, n in enumerate(children)] + [int(task.holds)]))
    return need


class _Liveness:
    """Answers how many tiles are alive, for sets of finished tasks given as bits."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        self.tasks = tasks
        self.needs = [sum(1 << i for i in set(task.inputs)) for task in tasks]
        self.users = [0] * len(tasks)
        for index, task in enumerate(tasks):
            for i in set(task.inputs):
                self.users[i] |= 1 << index
        self.holding = sum(1 << i for i, task in enumerate(tasks) if task.holds)

    def alive(self, done: int) -> int:
        """Return how many results are finished and still needed."""
        return sum(1 for i in _bits(done & self.holding) if self.users[i] & ~done)

    def dying(self, done: int, task: int) -> int:
        """Return how many results nothing needs once `task` has run too."""
        after = done | 1 << task
        return sum(1 for i in _bits(self.needs[task] & self.holding) if not self.users[i] & ~after)

    def during(self, done: int, task: int) -> int:
        """Return how many tiles are alive while `task` runs."""
        freed = self.dying(done, task) if self.tasks[task].in_place else 0
        grown = int(self.tasks[task].holds)
        return self.alive(done) + max(0, grown - freed)

    def ready(self, done: int) -> list[int]:
        """Return the tasks that can run next."""
        return [i for i in range(len(self.tasks)) if not done >> i & 1 and not self.needs[i] & ~done]


def _search(live: _Liveness, upper: int, cap: int) -> tuple[tuple[int, ...] | None, int]:
    """Return an order of least peak and that peak; or None and the peak that every order reaches at least."""
    everything = (1 << len(live.tasks)) - 1
    best = {0: 0}
    came: dict[int, tuple[int, tuple[int, ...]]] = {}
    heap = [(0, 0, 0)]
    seen = 0
    while heap:
        peak, _, done = heapq.heappop(heap)
        if peak > best[done]:
            continue
        if done == everything:
            return _path(came, done), peak
        seen += 1
        if seen > cap:
            return None, peak
        for steps, after, reached in _moves(live, done, peak):
            if reached <= upper and reached < best.get(after, upper + 1):
                best[after] = reached
                came[after] = done, steps
                heapq.heappush(heap, (reached, -after.bit_count(), after))
    return None, upper


def _moves(live: _Liveness, done: int, peak: int) -> list[tuple[tuple[int, ...], int, int]]:
    """Return what may come next: tasks, the set after them, the peak with them.

    A task that takes no more than it frees, within the peak reached so far, can always run first: nothing is lost.
    """
    moves: list[tuple[tuple[int, ...], int, int]] = []
    for task in live.ready(done):
        reached = max(peak, live.during(done, task))
        after = done | 1 << task
        if reached == peak and int(live.tasks[task].holds and bool(live.users[task])) <= live.dying(done, task):
            return [((task,), after, reached)]
        moves.append(((task,), after, reached))
    return moves


def _path(came: dict[int, tuple[int, tuple[int, ...]]], done: int) -> tuple[int, ...]:
    steps: list[int] = []
    while done:
        done, last = came[done]
        steps.extend(reversed(last))
    return tuple(reversed(steps))


def _bits(mask: int) -> list[int]:
    found = []
    while mask:
        low = mask & -mask
        found.append(low.bit_length() - 1)
        mask ^= low
    return found
