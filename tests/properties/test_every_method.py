"""Every method gives the same bytes optimized or not, held or streamed, by one worker or several."""

import numpy as np
import pytest
from every_method import EXPRESSIONS, HEADER
from families import ODD_SHAPES, to_tensors, write_model
from merging import ample, compilation, digest, run

from mergegraph.compiler import resources
from mergegraph.plan.plan import Compute

SHAPES = {name: shape for name, shape in ODD_SHAPES.items() if name not in ("scalar", "wide")} | {
    "square": (1000, 1000),
    "cube": (4, 900, 7),
}
SLACK = 3_000_000
"""Bytes that this process may grow by between a plan and its run, too few to hold a large tensor of each input."""


@pytest.fixture(scope="module")
def family(tmp_path_factory):
    folder = tmp_path_factory.mktemp("family")
    rng = np.random.default_rng(0)
    base = {name: rng.normal(0, 0.02, shape) for name, shape in SHAPES.items()}
    write_model(folder / "base", to_tensors(base, "float32"))
    for name in "abc":
        changed = {n: x + np.round(rng.normal(0, 0.002, x.shape), 4) for n, x in base.items()}
        write_model(folder / name, to_tensors(changed, "float32"))
    return folder


def least(plan):
    """Return a memory cap in which large tensors can only be streamed."""
    return plan.lower_bound_bytes + SLACK


def resident(plan):
    """Return whether units with a large tensor and more than one phase hold their inputs: all, none or some."""
    units = [(unit, plan.programs[unit.program]) for unit in plan.units if isinstance(unit, Compute)]
    assert any(program.elements > 500_000 for _, program in units)
    return {unit.resident for unit, program in units if program.elements > 524_288 and len(program.phases) > 1}


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_one_result_in_every_mode(family, tmp_path, expression):
    text = f'{HEADER}save {expression} to "out"'
    run(family, text, tmp_path / "held" / "out", workers=1, memory=ample())
    compiled = compilation(family, text)
    roomy = compiled.plan(within=resources(ample(), 1))
    tight = compiled.plan(within=resources(least(roomy), 1))
    assert (resident(roomy), resident(tight)) in (({True}, {False}), (set(), set()))
    run(family, text, tmp_path / "streamed" / "out", exact=False, workers=3, memory=least(roomy))
    assert digest(tmp_path / "held") == digest(tmp_path / "streamed")
