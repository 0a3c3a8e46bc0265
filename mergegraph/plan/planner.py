"""Choose how a graph runs: grouping, windows, workers, order, all within a budget of memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from mergegraph.diagnostics import Diagnostic, MergeGraphError, escape
from mergegraph.ir.graph import Graph, InputRef
from mergegraph.ir.node import Node
from mergegraph.plan.group import CopyOf, Group, group
from mergegraph.plan.plan import Compute, Copy, Plan, Unit, aligned, peak_bytes, phase_elements
from mergegraph.plan.program import TILE, Program, compile_program
from mergegraph.plan.stages import stages
from mergegraph.plan.strategy import Room, Strategy, choose
from mergegraph.sizes import format_size

COPY_WINDOW = 4 << 20
"""Bytes of a window that is only copied."""

UNIT_BYTES = 2400
"""What is kept of a unit while others run: a task of dask, its results. Measured with twenty thousand."""

TENSOR_BYTES = 900
"""What is kept of a tensor that is written, until the manifest is. Measured with eighty thousand."""

SPREAD_BYTES = 2_000_000
"""By so much what the same process takes may differ from one run to the next."""


class TensorPlace(Protocol):
    """Where a tensor lies in its checkpoint."""

    @property
    def file(self) -> int: ...
    @property
    def begin(self) -> int: ...
    @property
    def nbytes(self) -> int: ...


class Places(Protocol):
    """Answers where the inputs of a graph lie."""

    def __call__(self, ref: InputRef) -> TensorPlace: ...


@dataclass(frozen=True, slots=True)
class Resources:
    """What a run may use: `memory` bytes for the whole process, of which `baseline` are taken before it starts.

    `cache` are the bytes beside them that the page cache of the system can hold. Where not all is compiled, `kernels`
    take memory too.
    """

    memory: int
    workers: int
    baseline: int
    cache: int
    kernels: bool


@dataclass(frozen=True, slots=True)
class Stage:
    """What a stage runs, whatever the memory: the groups, the number of the program of each, and the copies."""

    programs: tuple[Program, ...]
    groups: tuple[Group, ...]
    numbers: tuple[int, ...]
    copies: tuple[CopyOf, ...]


def arrange(graph: Graph) -> tuple[Stage, ...]:
    """Return the stages of a graph."""
    return tuple(map(_arranged, stages(graph)))


def plan(arranged: Sequence[Stage], places: Places, resources: Resources) -> Plan:
    """Return the plan of the stages of a graph. MergeGraphError (MG401) if none fits into the memory."""
    demands = [_demand(stage, places, resources) for stage in arranged]
    _refuse(max(demands, key=lambda demand: demand.budget))
    *before, last = [_stage(demand, places) for demand in demands]
    return _together(tuple(before), last, places) if before else last


def _together(before: tuple[Plan, ...], last: Plan, places: Places) -> Plan:
    """Return the plan of a last stage with the figures of all."""
    every = (*before, last)
    refs = dict.fromkeys(ref for stage in every for ref in _refs(stage.units))
    return replace(
        last,
        before=before,
        planned_peak_bytes=max(stage.planned_peak_bytes for stage in every),
        lower_bound_bytes=max(stage.lower_bound_bytes for stage in every),
        optimal=all(stage.optimal for stage in every),
        bytes_read=sum(stage.bytes_read for stage in every),
        input_bytes=sum(places(ref).nbytes for ref in refs),
    )


def _arranged(graph: Graph) -> Stage:
    groups, copies = group(graph)
    programs = _Programs()
    numbers = tuple(programs.number(g.roots, g.written) for g in groups)
    return Stage(tuple(programs.all), tuple(groups), numbers, tuple(copies))


@dataclass(frozen=True, slots=True)
class _Demand:
    """The `need` of a stage at the least: of its dearest unit. Those of its groups are the `smallest`."""

    stage: Stage
    resources: Resources
    smallest: Sequence[int]
    need: int

    @property
    def budget(self) -> int:
        """The memory of the whole process that would do."""
        return self.resources.baseline + self.need


def _demand(stage: Stage, places: Places, resources: Resources) -> _Demand:
    kernels = resources.kernels
    least = [peak_bytes(p, min(TILE, p.elements), resident=False, kernels=kernels) for p in stage.programs]
    smallest = [least[n] for n in stage.numbers]
    need = max([*smallest, *(_copy_peak(places, c, TILE) for c in stage.copies)], default=0)
    return _Demand(stage, _with_bookkeeping(stage, resources), smallest, need)


def _stage(demand: _Demand, places: Places) -> Plan:
    stage, resources, need = demand.stage, demand.resources, demand.need
    programs, groups, numbers, copies = stage.programs, stage.groups, stage.numbers, stage.copies
    most = max(1, min(resources.workers, len(groups) + len(copies), _available(resources) // max(need, 1)))
    used = Counter(numbers)
    room = Room(_available(resources), resources.cache, resources.kernels)
    workers, strategies = choose(programs, [used[n] for n in range(len(programs))], most, room)
    units: list[Unit] = [_compute(g, n, strategies[n]) for g, n in zip(groups, numbers, strict=True)]
    units += [_copy(places, c, _available(resources) // workers) for c in copies]
    units.sort(key=lambda unit: _position(unit, places))
    return _summary(programs, tuple(units), workers, resources, need, places)


def _with_bookkeeping(stage: Stage, resources: Resources) -> Resources:
    """Return what is left where the executor keeps a record of each unit, and the writer one of each tensor."""
    units = len(stage.groups) + len(stage.copies)
    tensors = sum(len(found.targets) for found in stage.groups) + len(stage.copies)
    return replace(resources, baseline=resources.baseline + UNIT_BYTES * units + TENSOR_BYTES * tensors)


class _Programs:
    def __init__(self) -> None:
        self.all: list[Program] = []
        self._numbers: dict[tuple[tuple[Node, ...], int], int] = {}

    def number(self, roots: tuple[Node, ...], written: int) -> int:
        if (roots, written) not in self._numbers:
            self._numbers[roots, written] = len(self.all)
            self.all.append(compile_program(roots, written))
        return self._numbers[roots, written]


def _available(resources: Resources) -> int:
    return resources.memory - resources.baseline


def _refuse(demand: _Demand) -> None:
    groups, smallest, resources = demand.stage.groups, demand.smallest, demand.resources
    if demand.budget <= resources.memory:
        return
    dearest = max(range(len(groups)), key=lambda i: smallest[i], default=None)
    place = escape(_name(groups[dearest])) if dearest is not None else ""
    raise MergeGraphError(
        Diagnostic(
            "MG401",
            f"this merge does not fit into {format_size(resources.memory)} of memory",
            place=place,
            help=(
                f"the smallest that would do is `--memory {_rounded_up(demand.budget + SPREAD_BYTES)}`",
                f"{format_size(resources.baseline)} of it are the interpreter and its libraries",
            ),
        )
    )


def _name(found: Group) -> str:
    """Return what a group is called: the tensor it writes first, or reads first."""
    return found.targets[0].name if found.targets else (*found.inputs, *found.matrices)[0].name


def _rounded_up(nbytes: int) -> str:
    return f"{-(-nbytes // 1_000_000)}MB"


def _compute(found: Group, number: int, strategy: Strategy) -> Compute:
    return Compute(
        number,
        found.inputs,
        found.matrices,
        found.keys,
        found.numbers,
        found.totals,
        found.tables,
        found.targets,
        found.shares,
        strategy.window,
        strategy.resident,
        strategy.peak_bytes,
    )


def _copy(places: Places, found: CopyOf, share: int) -> Copy:
    window = max(1, min(COPY_WINDOW, share // (len(found.sources) + 1), places(found.sources[0]).nbytes))
    return Copy(found.sources, found.target, window, _copy_peak(places, found, window))


def _copy_peak(places: Places, found: CopyOf, window: int) -> int:
    return aligned(min(window, places(found.sources[0]).nbytes)) * min(2, len(found.sources))


def _position(unit: Unit, places: Places) -> tuple[int, int, int]:
    """Return where a unit starts to read, so that files are read from front to back."""
    if not unit.inputs:
        return (-1, 0, 0)
    place = places(unit.inputs[0])
    return unit.inputs[0].model, place.file, place.begin


def _summary(
    programs: tuple[Program, ...],
    units: tuple[Unit, ...],
    workers: int,
    resources: Resources,
    need: int,
    places: Places,
) -> Plan:
    peaks = sorted((unit.peak_bytes for unit in units), reverse=True)
    return Plan(
        programs=programs,
        units=units,
        workers=workers,
        budget_bytes=resources.memory,
        baseline_bytes=resources.baseline,
        cache_bytes=resources.cache,
        kernels=resources.kernels,
        planned_peak_bytes=resources.baseline + sum(peaks[:workers]),
        lower_bound_bytes=resources.baseline + need,
        optimal=all(program.registers == program.register_bound for program in programs),
        bytes_read=sum(unit_reads(unit, programs, places) for unit in units),
        bytes_written=sum(unit_writes(unit, programs, places) for unit in units),
        input_bytes=sum(places(ref).nbytes for ref in dict.fromkeys(_refs(units))),
        dearest=max(range(len(units)), key=lambda i: units[i].peak_bytes, default=0),
    )


def _refs(units: Iterable[Unit]) -> Iterable[InputRef]:
    return (ref for unit in units for ref in (*unit.inputs, *unit.matrices))


def unit_reads(unit: Unit, programs: Sequence[Program], places: Places) -> int:
    """Return how many bytes a unit reads: once where it is resident, once per phase that needs them elsewhere."""
    held = sum(places(ref).nbytes for ref in unit.matrices)
    if isinstance(unit, Copy) or unit.resident:
        return held + sum(places(ref).nbytes for ref in unit.inputs)
    program = programs[unit.program]
    shares = ((phase_elements(program, phase) / max(1, program.elements), phase.reads) for phase in program.phases)
    return held + sum(round(places(unit.inputs[i]).nbytes * share) for share, reads in shares for i in reads)


def unit_writes(unit: Unit, programs: Sequence[Program], places: Places) -> int:
    """Return how many bytes a unit writes."""
    if isinstance(unit, Copy):
        return places(unit.sources[0]).nbytes
    program = programs[unit.program]
    return sum(tensor.nbytes for tensor in (*program.outputs, *program.written))
