"""Order the operations on a tile so that as few tiles as possible are alive at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from mergegraph.plan.liveness import Liveness, Task
from mergegraph.plan.search import OutOfEffort, Search

EFFORT = 200_000
"""What the exact search may cost before it gives up: tasks of the sets it visits, and steps it looks at."""

MOST_TASKS = 1_000
"""The most tasks that are searched: to find out which branches are alike takes the square of their number."""


@dataclass(frozen=True, slots=True)
class Order:
    """A sequence of tasks, the most tiles alive during it, and what every sequence is proven to take at least."""

    sequence: tuple[int, ...]
    peak: int
    bound: int


def least_peak_orders(parts: Sequence[tuple[Task, ...]]) -> list[Order]:
    """Return the orders of parts that run one after another, so that the most tiles alive in any of them are fewest.

    A part that takes fewer than another in any order is not improved further.
    """
    found: dict[tuple[Task, ...], Order] = {}
    enough = 0
    for tasks in sorted(parts, key=lambda tasks: -simulate(tasks, depth_first(tasks))):
        found[tasks] = least_peak_order(tasks, enough)
        enough = max(enough, found[tasks].bound)
    return [found[tasks] for tasks in parts]


@cache
def least_peak_order(tasks: tuple[Task, ...], enough: int = 0, effort: int = EFFORT) -> Order:
    """Return an order of least peak, or one whose peak is at most `enough`.

    It starts from the depth-first order in the manner of Sethi and Ullman (The generation of optimal code for
    arithmetic expressions, 1970), and searches for one that takes a tile less until there is none. Where that takes
    more than half the effort, the other half goes into proving how many tiles are needed at least.
    """
    live = Liveness(tasks)
    sequence = tuple(depth_first(tasks))
    peak, least, left = simulate(tasks, sequence), live.at_least(), effort // 2
    if peak <= max(least, enough) or len(tasks) > MOST_TASKS:
        return Order(sequence, peak, min(peak, least))
    search = Search(live)
    try:
        while peak > max(least, enough):
            found, left = search.within(peak - 1, left)
            if found is None:
                return Order(sequence, peak, peak)
            sequence, peak = found, simulate(tasks, found)
    except OutOfEffort:
        least = _proven(search, least, peak, effort // 2)
    return Order(sequence, peak, least)


def _proven(search: Search, least: int, peak: int, effort: int) -> int:
    """Return the smallest number of tiles, from `least` on, that the search can't prove to be too few."""
    try:
        while least < peak:
            found, effort = search.within(least, effort)
            if found is not None:
                return least
            least += 1
    except OutOfEffort:
        pass
    return least


def simulate(tasks: Sequence[Task], sequence: Sequence[int]) -> int:
    """Return the most tiles alive while tasks run in this order. ValueError if it is no topological order."""
    live = Liveness(tasks)
    done, alive, peak = 0, 0, 0
    for task in sequence:
        if live.needs[task] & ~done or done >> task & 1:
            raise ValueError(f"task {task} can't run here")
        during, net = live.step(done, task)
        peak = max(peak, alive + during)
        alive += net
        done |= 1 << task
    if done != live.everything:
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
