"""Find branches of a graph of tasks that are alike, so that a search can treat them as one."""

from __future__ import annotations

from collections import defaultdict
from typing import TypeAlias

from mergegraph.plan.liveness import Liveness, bits, mask

Branch: TypeAlias = tuple[int, ...]
Outline: TypeAlias = tuple[tuple[bool, bool, tuple[int, ...]], ...]


class Branches:
    """Knows which branches are interchangeable.

    The branch of a task is the task with all that only it needs, directly or not. Two branches that have the same
    outline and whose tasks have the same users can be swapped and nothing else notices.
    """

    def __init__(self, live: Liveness) -> None:
        self._live = live
        alike: dict[tuple[int, Outline], list[Branch]] = defaultdict(list)
        for task, members in enumerate(_members(live)):
            outline, branch = self._outline(task, members)
            alike[live.users[task], outline].append(branch)
        classes = [branches for branches in alike.values() if len(branches) > 1]
        self._classes = [(branches, mask(i for b in branches for i in b)) for branches in sorted(classes, key=_size)]

    def canonical(self, done: int) -> int:
        """Return the set of finished tasks that stands for `done` and all that differ from it by swapped branches."""
        for branches, whole in self._classes:
            states = [[done >> i & 1 for i in branch] for branch in branches]
            order = sorted(states, reverse=True)
            if order != states:
                pairs = (
                    (i, bit) for b, state in zip(branches, order, strict=True) for i, bit in zip(b, state, strict=True)
                )
                done = done & ~whole | mask(i for i, bit in pairs if bit)
        return done

    def _outline(self, root: int, members: int) -> tuple[Outline, Branch]:
        """Return what a branch looks like, and its tasks in the order in which it says so."""
        numbers: dict[int, int] = {}
        outline = []
        for task in self._inputs_first(root, members):
            numbers[task] = len(numbers)
            found = self._live.tasks[task]
            # What lies outside is named by itself, and by a number below 0.
            inputs = tuple(numbers.get(i, ~i) for i in found.inputs)
            outline.append((found.holds, found.in_place, inputs))
        return tuple(outline), tuple(numbers)

    def _inputs_first(self, root: int, members: int) -> list[int]:
        order: dict[int, None] = {}
        stack = [(root, False)]
        while stack:
            task, ready = stack.pop()
            if ready:
                order[task] = None
            elif task not in order:
                stack.append((task, True))
                inputs = reversed(self._live.tasks[task].inputs)
                stack.extend((i, False) for i in inputs if members >> i & 1 and i not in order)
        return list(order)


def _members(live: Liveness) -> list[int]:
    """Return, for each task, the set of tasks that only it needs: every way up from them comes by it."""
    above: list[int] = [0] * len(live.tasks)
    members = [0] * len(live.tasks)
    for task in reversed(range(len(live.tasks))):
        passed = live.everything if live.users[task] else 0
        for user in bits(live.users[task]):
            passed &= above[user]
        above[task] = passed | 1 << task
        for over in bits(above[task]):
            members[over] |= 1 << task
    return members


def _size(branches: list[Branch]) -> int:
    return len(branches[0])
