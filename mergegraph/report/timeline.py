"""Tell how the memory of a run goes up and down: while each unit runs, what all units that run beside it take."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mergegraph.plan.measured import Measured
from mergegraph.plan.plan import Compute, Plan, Unit
from mergegraph.plan.planner import Places, unit_reads

MOST_STEPS = 400


@dataclass(frozen=True, slots=True)
class Step:
    """Some units that follow each other, `first` to `last` by rank, those before the last stage counted too.

    `memory` is the most of the whole process while they run, `dearest` the one of them that takes most.
    """

    first: int
    last: int
    memory: int
    bytes_read: int
    dearest: Unit
    measured: Measured | None = None


@dataclass(frozen=True, slots=True)
class _Moment:
    """One unit while it runs."""

    unit: Unit
    memory: int
    bytes_read: int


def timeline(plan: Plan, places: Places, measured: Sequence[Measured] = ()) -> list[Step]:
    """Return the steps of a run, at most `MOST_STEPS`. `measured` is of every unit, in order, or of none."""
    moments = [moment for stage in (*plan.before, plan) for moment in _stage(stage, places)]
    size = -(-len(moments) // MOST_STEPS)
    return [_step(moments, measured, first, size) for first in range(0, len(moments), size or 1)]


def units(plan: Plan) -> int:
    """Return how many units run in all stages of a plan."""
    return sum(len(stage.units) for stage in (*plan.before, plan))


def _stage(plan: Plan, places: Places) -> Iterator[_Moment]:
    """Yield the units of a stage, as if each took a time in proportion to the bytes that it moves."""
    running: list[tuple[int, int]] = []
    now = 0
    for unit in plan.units:
        if len(running) == plan.workers:
            now = min(running)[0]
            running = [(end, peak) for end, peak in running if end > now]
        read = unit_reads(unit, plan.programs, places)
        running.append((now + read + _written(unit, plan, places), unit.peak_bytes))
        yield _Moment(unit, plan.baseline_bytes + sum(peak for _, peak in running), read)


def _written(unit: Unit, plan: Plan, places: Places) -> int:
    if isinstance(unit, Compute):
        return sum(output.nbytes for output in plan.programs[unit.program].outputs)
    return places(unit.sources[0]).nbytes


def _step(moments: Sequence[_Moment], measured: Sequence[Measured], first: int, size: int) -> Step:
    found = moments[first : first + size]
    return Step(
        first,
        first + len(found) - 1,
        max(moment.memory for moment in found),
        sum(moment.bytes_read for moment in found),
        max(found, key=lambda moment: moment.unit.peak_bytes).unit,
        _together(measured[first : first + size]),
    )


def _together(measured: Sequence[Measured]) -> Measured | None:
    if not measured:
        return None
    return Measured(
        sum(unit.seconds for unit in measured),
        max(unit.memory_bytes for unit in measured),
        sum(unit.bytes_read for unit in measured),
        sum(unit.bytes_written for unit in measured),
    )
