"""The timeline of a plan adds up to the plan."""

from collections.abc import Callable

import pytest

from mergegraph.compiler import Compilation
from mergegraph.plan.measured import Measured
from mergegraph.plan.plan import Plan
from mergegraph.report.timeline import MOST_STEPS, timeline

Compiled = Callable[[str], Compilation]
Planned = Callable[..., Plan]


@pytest.mark.parametrize("name", ["nested", "study", "multistage"])
@pytest.mark.parametrize("workers", [1, 3])
def test_steps_add_up_to_the_plan(name: str, workers: int, compiled: Compiled, planned: Planned) -> None:
    compilation = compiled(name)
    plan = planned(compilation, workers=workers)
    steps = timeline(plan, compilation.tensor)
    assert [step.first for step in steps] == [0, *(step.last + 1 for step in steps[:-1])]
    assert steps[-1].last == len(plan.units) - 1
    assert sum(step.bytes_read for step in steps) == plan.bytes_read
    assert max(step.memory for step in steps) <= plan.planned_peak_bytes
    assert all(step.memory >= plan.baseline_bytes + step.dearest.peak_bytes for step in steps)


def test_one_worker_takes_what_its_unit_takes(compiled: Compiled, planned: Planned) -> None:
    compilation = compiled("nested")
    plan = planned(compilation, workers=1)
    steps = timeline(plan, compilation.tensor)
    assert [step.memory - plan.baseline_bytes for step in steps] == [unit.peak_bytes for unit in plan.units]
    assert max(step.memory for step in steps) == plan.planned_peak_bytes


def test_many_units_are_put_together(compiled: Compiled, planned: Planned) -> None:
    compilation = compiled("frankenmerge")
    plan = planned(compilation)
    measured = [Measured(0.25, i, 2, 1) for i in range(len(plan.units))]
    assert len(plan.units) > MOST_STEPS
    steps = timeline(plan, compilation.tensor, measured)
    assert len(steps) <= MOST_STEPS
    assert sum(step.measured.seconds for step in steps if step.measured) == 0.25 * len(plan.units)
    assert [step.measured.memory_bytes for step in steps if step.measured] == [step.last for step in steps]
