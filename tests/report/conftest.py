from collections.abc import Callable
from pathlib import Path

import pytest
from families import make_family

from mergegraph.compiler import Compilation
from mergegraph.diagnostics import Source
from mergegraph.plan.plan import Plan
from mergegraph.plan.planner import Resources, plan

RECIPES = Path(__file__).parent.parent / "fixtures" / "recipes"
BASELINE = 330_000_000
TALL = ("frankenmerge", "study")
STUDIED = {
    "base": "meta-llama/Llama-3.1-8B-Instruct",
    "a": "Alelcv27/Llama3.1-8B-Code",
    "b": "Alelcv27/Llama3.1-8B-Math-CoT",
}
"""What the study calls the tall models: a folder of that name is taken before the Hub is asked."""


@pytest.fixture(scope="session")
def family(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the models base, a, b and c, of four layers each, in two shards."""
    folder = tmp_path_factory.mktemp("family")
    make_family(folder, layers=4, shards=2)
    return folder


@pytest.fixture(scope="session")
def tall_family(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the models base, a and b, of thirty-two layers each."""
    folder = tmp_path_factory.mktemp("tall_family")
    make_family(folder, layers=32, models=("base", "a", "b"), hidden=16, intermediate=16, vocab=16)
    (folder / "meta-llama").mkdir()
    (folder / "Alelcv27").mkdir()
    for name, called in STUDIED.items():
        (folder / called).symlink_to(folder / name)
    return folder


@pytest.fixture(scope="session")
def compiled(family: Path, tall_family: Path) -> Callable[[str], Compilation]:
    """Return what compiles a recipe of the fixtures by its name."""

    def compile_recipe(name: str) -> Compilation:
        text = (RECIPES / f"{name}.merge").read_text(encoding="utf-8")
        return Compilation(Source(f"{name}.merge", text), tall_family if name in TALL else family)

    return compile_recipe


@pytest.fixture(scope="session")
def planned() -> Callable[..., Plan]:
    """Return what plans a compilation as if on another machine: nothing of this one enters."""

    def make_plan(compilation: Compilation, memory: int = 1_000_000_000, workers: int = 2) -> Plan:
        return plan(compilation.optimized, compilation.tensor, Resources(memory, workers, BASELINE))

    return make_plan
