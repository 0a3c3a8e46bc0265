"""Search for an order of tasks within a number of tiles, over sets of finished tasks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mergegraph.plan.branches import Branches
from mergegraph.plan.liveness import Liveness, bits, mask

MOST_TASKS = 8
MOST_SETS = 40
"""The most tasks that a step without loss may have, and the most sets between its beginning and its end."""


class OutOfEffort(Exception):
    """Say that a search has taken as long as it may."""


@dataclass(frozen=True, slots=True)
class Step:
    """Tasks that can always run first where there are `room` tiles more: fewer tiles, or as many, are alive after."""

    sequence: tuple[int, ...]
    room: int
    net: int


class Search:
    """Finds orders within a number of tiles; what it has learned for one number helps it with the next.

    Two things keep the sets few. Branches that can be swapped count as one. And a step without loss is taken at
    once: if of all sets between D and D' none has fewer tiles alive than D', and D' can be reached, then whatever can
    be done from D can be done from D', since the number of tiles alive is submodular in the set.
    """

    def __init__(self, live: Liveness) -> None:
        self._live = live
        self._branches = Branches(live)
        self._steps: dict[tuple[int, int], Step | None] = {}
        self._effort = 0
        joint = (_union(live.before[user] for user in bits(users)) for users in live.users if users)
        self._goals = sorted({*live.before, *joint}, key=int.bit_count)

    def within(self, tiles: int, effort: int) -> tuple[tuple[int, ...] | None, int]:
        """Return an order that takes no more tiles, None if there is none, and the effort that is left.

        Effort is counted in tasks and steps looked at. OutOfEffort if it does not suffice.
        """
        self._effort = effort
        return self._within(tiles), self._effort

    def _within(self, tiles: int) -> tuple[int, ...] | None:
        everything = self._live.everything
        seen: set[int] = set()
        stack = [self._settled(0, 0, (), tiles)]
        while stack:
            done, alive, sequence = stack.pop()
            if done == everything:
                return sequence
            key = self._branches.canonical(done)
            if key in seen:
                continue
            seen.add(key)
            self._spend(len(self._live.tasks))
            for net, task in self._moves(done, tiles - alive):
                after = done | 1 << task
                if self._branches.canonical(after) not in seen:
                    stack.append(self._settled(after, alive + net, (*sequence, task), tiles))
        return None

    def _spend(self, effort: int) -> None:
        self._effort -= effort
        if self._effort < 0:
            raise OutOfEffort

    def _moves(self, done: int, room: int) -> list[tuple[int, int]]:
        """Return the tasks that may come next and what they add to the tiles alive, the most promising last."""
        found = []
        for task in self._live.ready(done, self._live.everything):
            during, net = self._live.step(done, task)
            if during <= room:
                found.append((net, task))
        return sorted(found, reverse=True)

    def _settled(
        self, done: int, alive: int, sequence: tuple[int, ...], tiles: int
    ) -> tuple[int, int, tuple[int, ...]]:
        """Return a set of finished tasks after all steps without loss."""
        while step := self._next_step(done, tiles - alive):
            done |= mask(step.sequence)
            alive += step.net
            sequence += step.sequence
        return done, alive, sequence

    def _next_step(self, done: int, room: int) -> Step | None:
        for goal in self._goals:
            missing = goal & ~done
            if missing and missing.bit_count() <= MOST_TASKS:
                self._spend(1)
                step = self._step(done, missing)
                if step and step.room <= room:
                    return step
        return None

    def _step(self, done: int, missing: int) -> Step | None:
        """Return the step without loss towards a set of tasks, if there is one.

        It depends on them, and on what of their inputs outlives them.
        """
        live = self._live
        inputs = _union(live.needs[task] for task in bits(missing)) & done & live.holding
        kept = mask(i for i in bits(inputs) if live.users[i] & ~done & ~missing)
        if (missing, kept) not in self._steps:
            self._steps[missing, kept] = _find_step(live, done, missing)
        return self._steps[missing, kept]


def _find_step(live: Liveness, done: int, missing: int) -> Step | None:
    """Return the way to the set between `done` and all of `missing` after which the fewest tiles are alive.

    None if that is `done` alone, or if there are more than MOST_SETS sets.
    """
    net, room = {done: 0}, {done: 0}
    came: dict[int, tuple[int, int]] = {}
    order = [done]
    for before in order:
        if len(order) > MOST_SETS:
            return None
        for task in live.ready(before, missing):
            during, change = live.step(before, task)
            after = before | 1 << task
            needed = max(room[before], net[before] + during)
            if after not in net:
                order.append(after)
                net[after] = net[before] + change
            if needed < room.get(after, needed + 1):
                room[after] = needed
                came[after] = before, task
    fewest = min(net.values())
    ends = [found for found in order[1:] if net[found] == fewest]
    if not ends:
        return None
    end = min(ends, key=lambda found: (room[found], -found.bit_count()))
    return Step(_path(came, done, end), room[end], fewest)


def _path(came: dict[int, tuple[int, int]], start: int, end: int) -> tuple[int, ...]:
    steps = []
    while end != start:
        end, task = came[end]
        steps.append(task)
    return tuple(reversed(steps))


def _union(sets: Iterable[int]) -> int:
    found = 0
    for one in sets:
        found |= one
    return found
