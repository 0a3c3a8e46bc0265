"""Show what a run took beside what its plan said."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mergegraph.compiler import Compilation
from mergegraph.diagnostics import escape, listed
from mergegraph.plan.measured import Measured
from mergegraph.plan.plan import Copy, Plan, Unit
from mergegraph.plan.planner import unit_reads
from mergegraph.report.spelling import counted
from mergegraph.sizes import format_size

if TYPE_CHECKING:
    from mergegraph.merge import Result

MOST_GROUPS = 12


@dataclass(frozen=True, slots=True)
class _Ran:
    """A unit, the stage that it is of, and what it took."""

    stage: Plan
    rank: int
    unit: Unit
    measured: Measured

    @property
    def kind(self) -> tuple[str, str]:
        """What units that do the same have in common: what they compute, and in which shape."""
        if isinstance(self.unit, Copy):
            return "copies", ""
        program = self.stage.programs[self.unit.program]
        return f"program {self.unit.program}", str([*program.outputs, *program.inputs][0])


def analysis_text(compilation: Compilation, result: Result) -> str:
    """Return planned and measured figures side by side: of the run, and of units that do the same, dearest first."""
    plan = result.plan
    lines = [
        f"analysis of {escape(compilation.source.name)}",
        "",
        f"seconds   {result.seconds:.2f} with {counted(plan.workers, 'worker')}",
        *_compiled(result),
        f"read      {format_size(result.bytes_read)}, planned {format_size(plan.bytes_read)}",
        f"written   {format_size(result.bytes_written)}, planned {format_size(plan.bytes_written)}",
        f"memory    {format_size(result.peak_rss_bytes)} at most, planned {format_size(plan.planned_peak_bytes)}: "
        f"{result.peak_rss_bytes / plan.planned_peak_bytes:.0%}",
        "",
        *_groups(compilation, plan, result.analysis),
    ]
    return "\n".join(lines) + "\n"


def _compiled(result: Result) -> Iterator[str]:
    if result.compiled_loops:
        yield f"compiled  {counted(result.compiled_loops, 'loop')} in {result.compile_seconds:.2f} seconds"


def _groups(compilation: Compilation, plan: Plan, analysis: Sequence[Measured]) -> Iterator[str]:
    groups: dict[tuple[int, tuple[str, str]], list[_Ran]] = {}
    for ran in _units(plan, analysis):
        groups.setdefault((id(ran.stage), ran.kind), []).append(ran)
    ordered = sorted(groups.values(), key=lambda group: -sum(ran.measured.seconds for ran in group))
    yield f"{'units':>8} {'seconds':>9} {'slowest':>9} {'read':>10} {'planned':>10}  what"
    for group in ordered[:MOST_GROUPS]:
        seconds = [ran.measured.seconds for ran in group]
        read = sum(ran.measured.bytes_read for ran in group)
        planned = sum(_planned_reads(compilation, ran) for ran in group)
        what = " ".join(filter(None, group[0].kind)) + (", before the others" if group[0].stage is not plan else "")
        yield (
            f"{len(group):>8,} {sum(seconds):>9.3f} {max(seconds):>9.3f} {format_size(read):>10} "
            f"{format_size(planned):>10}  {what}: {_names(group)}"
        )
    if len(ordered) > MOST_GROUPS:
        yield f"… and {counted(len(ordered) - MOST_GROUPS, 'more group')}"


def _names(group: Sequence[_Ran]) -> str:
    unit = group[0].unit
    name = unit.targets[0].name if unit.targets else unit.inputs[0].name
    return listed([name]) + (" …" if len(group) > 1 else "")


def analysis_json(compilation: Compilation, result: Result) -> dict[str, Any]:
    """Return planned and measured figures as plain data, of the run and of every unit in the order of their ranks."""
    plan = result.plan
    return {
        "seconds": result.seconds,
        "compile_seconds": result.compile_seconds,
        "compiled_loops": result.compiled_loops,
        "bytes_read": result.bytes_read,
        "bytes_written": result.bytes_written,
        "peak_rss_bytes": result.peak_rss_bytes,
        "planned_peak_bytes": plan.planned_peak_bytes,
        "workers": plan.workers,
        "units": [_unit(compilation, ran) for ran in _units(plan, result.analysis)],
    }


def _unit(compilation: Compilation, ran: _Ran) -> dict[str, Any]:
    return {
        "rank": ran.rank,
        "writes": [target.name for target in ran.unit.targets],
        "seconds": ran.measured.seconds,
        "bytes_read": ran.measured.bytes_read,
        "planned_bytes_read": _planned_reads(compilation, ran),
        "bytes_written": ran.measured.bytes_written,
        "memory_bytes": ran.measured.memory_bytes,
        "planned_unit_bytes": ran.unit.peak_bytes,
    }


def _planned_reads(compilation: Compilation, ran: _Ran) -> int:
    return unit_reads(ran.unit, ran.stage.programs, compilation.tensor)


def _units(plan: Plan, analysis: Sequence[Measured]) -> Iterator[_Ran]:
    stages = [(stage, rank, unit) for stage in (*plan.before, plan) for rank, unit in enumerate(stage.units)]
    return (_Ran(*place, measured) for place, measured in zip(stages, analysis, strict=True))
