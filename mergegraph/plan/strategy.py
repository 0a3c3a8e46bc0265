"""Choose how many workers run the units of a stage, and whether they hold their inputs or read them again.

Every choice writes the same bytes. Of those that fit into the memory that one is taken which takes the least seconds,
by rates of one core, and of equal ones that which takes the least memory. `benchmarks/strategies.py` measures both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from mergegraph.plan.plan import peak_bytes, phase_elements
from mergegraph.plan.program import TILE, Program

STREAM_WINDOW = 8 * TILE
"""Elements of a window that streams: large enough for efficient reads, small enough to stay in cache."""

CACHED = 0.16e-9
"""Seconds to read a byte that the page cache has."""

STORED = 2e-9
"""Seconds to read a byte from storage: 500 MB/s, which all workers share."""

HELD = 0.2e-9
"""Seconds to hold a byte: to fill memory that no cache of the processor holds, and to look at it there again."""

STEP = 0.1e-9
"""Seconds of an instruction for an element."""


@dataclass(frozen=True, slots=True)
class Strategy:
    """How every unit of a program runs: see `Compute`."""

    window: int
    resident: bool
    peak_bytes: int


@dataclass(frozen=True, slots=True)
class Seconds:
    """What units take: of the processors, which workers do side by side, and of storage, where they wait in line."""

    processor: float = 0.0
    storage: float = 0.0

    def __add__(self, other: Seconds) -> Seconds:
        return Seconds(self.processor + other.processor, self.storage + other.storage)

    def times(self, count: int) -> Seconds:
        """Return what so many units take."""
        return Seconds(self.processor * count, self.storage * count)

    def of(self, workers: int) -> float:
        """Return what it takes with some workers."""
        return self.storage + self.processor / workers


@dataclass(frozen=True, slots=True)
class Room:
    """What a worker may use: bytes of memory, and of the page cache; whether `kernels` take some of it."""

    memory: int
    cache: int
    kernels: bool


def choose(
    programs: Sequence[Program], units: Sequence[int], most: int, room: Room
) -> tuple[int, tuple[Strategy, ...]]:
    """Return how many workers to use, and how the units of each program run.

    There are `units` of each program. `room` is what all workers have together; each gets an equal share, in which
    the smallest windows fit with up to `most` workers.
    """
    _, workers, strategies = min(_crews(programs, units, most, room), key=lambda crew: crew[0])
    return workers, strategies


def _crews(
    programs: Sequence[Program], units: Sequence[int], most: int, room: Room
) -> Iterator[tuple[float, int, tuple[Strategy, ...]]]:
    """Yield the seconds that a number of workers takes, and how units run then, the most workers first."""
    for workers in range(most, 0, -1):
        share = Room(room.memory // workers, room.cache // workers, room.kernels)
        strategies = tuple(strategy(program, share) for program in programs)
        found = Seconds()
        for program, count, how in zip(programs, units, strategies, strict=True):
            found += seconds(program, how, share.cache).times(count)
        yield found.of(workers), workers, strategies
        if not found.storage:
            return  # Fewer workers could only spare storage.


def strategy(program: Program, room: Room) -> Strategy:
    """Return how units of a program run within the share of a worker."""
    ways = list(_ways(program, room))
    return min(ways, key=lambda way: (seconds(program, way, room.cache).of(1), way.peak_bytes))


def held(program: Program, *, kernels: bool) -> Strategy:
    """Return the strategy that holds all inputs, and reads each once."""
    whole = max(1, program.elements)
    return Strategy(whole, True, peak_bytes(program, whole, resident=True, kernels=kernels))


def _ways(program: Program, room: Room) -> Iterator[Strategy]:
    whole = held(program, kernels=room.kernels)
    peak = partial(peak_bytes, program, resident=False, kernels=room.kernels)
    window = STREAM_WINDOW
    while window > TILE and peak(min(window, whole.window)) > room.memory:
        window //= 2
    if window >= whole.window:
        yield whole
        return
    yield Strategy(window, False, peak(window))
    # With one phase there is nothing to save.
    if len(program.phases) > 1 and whole.peak_bytes <= room.memory:
        yield whole


def seconds(program: Program, way: Strategy, cache: int) -> Seconds:
    """Return what a unit takes, apart from what it reads from storage first and writes.

    What it reads again comes from the page cache if that holds all of its inputs.
    """
    inputs = sum(tensor.nbytes for tensor in program.inputs)
    processor = STEP * sum(phase_elements(program, phase) * len(phase.tiles) for phase in program.phases)
    processor += CACHED * inputs
    if way.resident:
        return Seconds(processor + HELD * inputs if way.window > STREAM_WINDOW else processor)
    again = max(0, streamed_bytes(program) - inputs)
    return Seconds(processor + CACHED * again, 0.0 if inputs <= cache else STORED * again)


def streamed_bytes(program: Program) -> int:
    """Return how many bytes of its inputs a unit reads that streams: in each phase what that needs."""
    return sum(
        program.inputs[i].dtype.nbytes(phase_elements(program, phase)) for phase in program.phases for i in phase.reads
    )
