"""Give the Plan as plain data."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import Any

from mergegraph.compiler import Compilation
from mergegraph.plan.plan import Compute, Plan, Unit
from mergegraph.plan.program import Instruction, Phase, Program
from mergegraph.report import figures


def plan_json(compilation: Compilation, plan: Plan) -> dict[str, Any]:
    """Return the figures of a plan: sizes in bytes, counts, what is read and written, and what units do."""
    uses = Counter(unit.program for unit in plan.units if isinstance(unit, Compute))
    passes = compilation.passes
    return {
        "bytes_read": plan.bytes_read,
        "bytes_written": plan.bytes_written,
        "input_bytes": plan.input_bytes,
        "planned_peak_bytes": plan.planned_peak_bytes,
        "lower_bound_bytes": plan.lower_bound_bytes,
        "optimal": plan.optimal,
        "baseline_bytes": plan.baseline_bytes,
        "budget_bytes": plan.budget_bytes,
        "workers": plan.workers,
        "units": len(plan.units),
        "units_resident": sum(unit.resident for unit in plan.units if isinstance(unit, Compute)),
        "units_streaming": sum(not unit.resident for unit in plan.units if isinstance(unit, Compute)),
        "worker_bytes": figures.worker_bytes(plan),
        "before": list(map(_stage, plan.before)),
        "units_copied": len(plan.units) - uses.total(),
        "dearest": _dearest(compilation, plan),
        "nodes_before": passes[0].nodes_before,
        "nodes_after": passes[-1].nodes_after,
        "passes": [asdict(step) for step in passes],
        "inputs": [asdict(found) for found in figures.inputs(compilation, plan)],
        "outputs": [asdict(found) for found in figures.outputs(compilation)],
        "sharing": asdict(figures.sharing(compilation, plan)),
        "programs": [_program(program, uses[number]) for number, program in enumerate(plan.programs)],
    }


def units_json(compilation: Compilation, plan: Plan, names: set[str]) -> dict[str, Any]:
    """Return the units that compute the output tensors of these names, and their programs in full."""
    chosen = [(i, u) for i, u in enumerate(plan.units) if any(target.name in names for target in u.targets)]
    numbers = sorted({unit.program for _, unit in chosen if isinstance(unit, Compute)})
    return {
        "units": [{"rank": i, **_unit(compilation, unit)} for i, unit in chosen],
        "programs": {str(number): _instructions(plan.programs[number]) for number in numbers},
    }


def _stage(stage: Plan) -> dict[str, Any]:
    return {
        "units": len(stage.units),
        "bytes_read": stage.bytes_read,
        "planned_peak_bytes": stage.planned_peak_bytes,
        "workers": stage.workers,
        "statistics": figures.statistics(stage),
    }


def _dearest(compilation: Compilation, plan: Plan) -> dict[str, Any] | None:
    return _unit(compilation, plan.units[plan.dearest]) if plan.units else None


def _unit(compilation: Compilation, unit: Unit) -> dict[str, Any]:
    saves = compilation.optimized.saves
    return {
        "program": unit.program if isinstance(unit, Compute) else None,
        "resident": unit.resident if isinstance(unit, Compute) else None,
        "window": unit.window,
        "peak_bytes": unit.peak_bytes,
        "reads": [{"model": ref.model, "name": ref.name} for ref in (*unit.inputs, *unit.matrices)],
        "writes": [{"save": saves[target.save], "name": target.name} for target in unit.targets],
    }


def _program(program: Program, units: int) -> dict[str, Any]:
    return {
        "units": units,
        "inputs": list(map(str, program.inputs)),
        "outputs": list(map(str, program.outputs)),
        "registers": program.registers,
        "register_bound": program.register_bound,
        "phases": [_phase(phase) for phase in program.phases],
    }


def _phase(phase: Phase) -> dict[str, Any]:
    return {
        "reads": list(phase.reads),
        "writes": list(phase.writes),
        "operations": len(phase.tiles),
        "scalars": len(phase.scalars),
    }


def _instructions(program: Program) -> dict[str, Any]:
    return {
        "prologue": _texts(program.prologue),
        "phases": [{**_phase(p), "operations": _texts(p.tiles), "scalars": _texts(p.scalars)} for p in program.phases],
    }


def _texts(instructions: tuple[Instruction, ...]) -> list[str]:
    return list(map(str, instructions))
