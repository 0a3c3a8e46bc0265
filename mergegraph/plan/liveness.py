"""Sets of finished tasks as bits, and how many tiles are alive after them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Task:
    """One operation: the tasks whose results it needs, whether its own result takes a tile, and whether it may be
    written over an input that nothing needs any more."""

    inputs: tuple[int, ...]
    holds: bool
    in_place: bool


class Liveness:
    """Answers what a task changes, for sets of finished tasks. Inputs have lower numbers than their users."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        self.tasks = tasks
        self.everything = (1 << len(tasks)) - 1
        self.needs = [mask(task.inputs) for task in tasks]
        self.users = [0] * len(tasks)
        self.before: list[int] = []
        """For each task the set of all that must be finished once it is, itself among them."""
        for index, task in enumerate(tasks):
            below = 1 << index
            for i in task.inputs:
                self.users[i] |= 1 << index
                below |= self.before[i]
            self.before.append(below)
        self.holding = mask(i for i, task in enumerate(tasks) if task.holds)

    def step(self, done: int, task: int) -> tuple[int, int]:
        """Return how many tiles more are alive while `task` runs after `done`, and how many once it has."""
        after = done | 1 << task
        dying = sum(1 for i in bits(self.needs[task] & self.holding) if not self.users[i] & ~after)
        grown = int(self.tasks[task].holds)
        kept = grown if self.users[task] else 0
        return max(0, grown - dying) if self.tasks[task].in_place else grown, kept - dying

    def ready(self, done: int, among: int) -> list[int]:
        """Return those of a set of tasks that can run next."""
        return [i for i in bits(among & ~done) if not self.needs[i] & ~done]

    def at_least(self) -> int:
        """Return a number of tiles that every order takes: what the task with most inputs and results takes alone."""
        return max((self._alone(i) for i in range(len(self.tasks))), default=0)

    def _alone(self, task: int) -> int:
        inputs = (self.needs[task] & self.holding).bit_count()
        grown = int(self.tasks[task].holds)
        return max(inputs, grown) if self.tasks[task].in_place else inputs + grown


def bits(numbers: int) -> Iterator[int]:
    """Yield the numbers in a set of bits, smallest first."""
    while numbers:
        low = numbers & -numbers
        yield low.bit_length() - 1
        numbers ^= low


def mask(numbers: Iterable[int]) -> int:
    """Return numbers as a set of bits."""
    found = 0
    for number in numbers:
        found |= 1 << number
    return found
