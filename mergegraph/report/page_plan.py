"""Give the plan to the page: its figures, memory over units, and the units that take most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mergegraph.compiler import Compilation
from mergegraph.diagnostics import escape
from mergegraph.plan.measured import Measured
from mergegraph.plan.plan import Compute, Plan, Unit
from mergegraph.report.plan_json import plan_json
from mergegraph.report.timeline import Step, timeline, units

FIGURES = (
    "bytes_read", "bytes_written", "input_bytes", "planned_peak_bytes", "lower_bound_bytes", "optimal",
    "baseline_bytes", "budget_bytes", "workers", "units_resident", "units_streaming", "units_copied", "passes",
    "sharing",
)  # fmt: skip


def page_plan_json(compilation: Compilation, plan: Plan, measured: Sequence[Measured] = ()) -> dict[str, Any]:
    """Return the figures of a plan, and its timeline; `measured` is of every unit in order, or of none."""
    figures = plan_json(compilation, plan)
    return {
        **{name: figures[name] for name in FIGURES},
        "units": units(plan),
        "surveys": sum(len(stage.units) for stage in plan.before),
        "inputs": [_escaped(found, "name", "source") for found in figures["inputs"]],
        "outputs": [_escaped(found, "path") for found in figures["outputs"]],
        "steps": [_step(compilation, step) for step in timeline(plan, compilation.tensor, measured)],
    }


def _escaped(found: dict[str, Any], *names: str) -> dict[str, Any]:
    return {**found, **{name: escape(found[name]) for name in names}}


def _step(compilation: Compilation, step: Step) -> dict[str, Any]:
    took = step.measured
    return {
        "first": step.first,
        "last": step.last,
        "memory": step.memory,
        "bytes_read": step.bytes_read,
        "dearest": _unit(compilation, step.dearest),
        **({"measured": [took.seconds, took.memory_bytes, took.bytes_read]} if took else {}),
    }


def _unit(compilation: Compilation, unit: Unit) -> dict[str, Any]:
    saves = compilation.optimized.saves
    targets = [f"{target.name} of {saves[target.save]}" for target in unit.targets]
    first = targets[0] if targets else f"a statistic of {unit.inputs[0].name}"
    how = "copied" if not isinstance(unit, Compute) else "resident" if unit.resident else "streaming"
    return {"name": escape(first), "more": max(0, len(targets) - 1), "how": how, "peak_bytes": unit.peak_bytes}
