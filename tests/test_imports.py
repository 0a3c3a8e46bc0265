"""Nothing is loaded before it is needed: not by importing the package, asking for help, or checking a recipe."""

import json
import subprocess
import sys

import pytest
from families import make_family

COMMAND = """
import sys
from mergegraph.cli import main
sys.argv = ["mergegraph", *{words!r}]
try:
    main()
except SystemExit as stop:
    assert (stop.code or 0) == {code}, stop.code
"""
RUNNING = {"torch", "dask", "safetensors", "huggingface_hub", "tokenizers", "numpy", "networkx", "yaml"}
"""What only a merge needs, or models of other kinds, or recipes in YAML."""

STAGES = ("lower", "optimize", "plan", "vocabulary", "merge", "outputs", "write", "execute", "kernels", "report")

RECIPE = """
base = model("./base")
a = model("./a")
b = model("./b")
save ties(a, b, base=base, density=0.5) to "out"
"""


def loaded_by(code, cwd):
    """Return the names of all modules that are loaded once a program has run."""
    script = f"import json, sys\n{code}\nprint()\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=cwd)
    return set(json.loads(done.stdout.splitlines()[-1]))


def packages(modules):
    return {name.partition(".")[0] for name in modules}


def own(modules):
    return {name.split(".")[1] for name in modules if name.startswith("mergegraph.")}


@pytest.fixture
def family(tmp_path):
    make_family(tmp_path, models=("base", "a", "b"))
    return tmp_path


def test_importing_the_package_loads_nothing(tmp_path):
    modules = loaded_by("import mergegraph", tmp_path)
    assert "mergegraph" in modules
    assert not packages(modules) & (RUNNING | {"lark", "click", "rich"})


def test_help_loads_no_stage(tmp_path):
    modules = loaded_by(COMMAND.format(words=["--help"], code=0), tmp_path)
    assert "mergegraph.cli.merge" in modules
    assert not packages(modules) & (RUNNING | {"lark", "rich"})
    assert not own(modules) & {*STAGES, "compiler", "syntax", "recipe", "ops"}


def test_a_command_loads_no_other(tmp_path):
    modules = loaded_by(COMMAND.format(words=["run", "--help"], code=0), tmp_path)
    assert not modules & {"mergegraph.cli.check", "mergegraph.cli.diff", "mergegraph.cli.graph"}


def test_an_error_of_types_is_found_without_models_and_stages_behind_it(tmp_path):
    (tmp_path / "sum.merge").write_text('a = model("./a")\nb = model("./b")\nsave a + b to "out"\n')
    modules = loaded_by(COMMAND.format(words=["check", "--types", "sum.merge"], code=2), tmp_path)
    assert "mergegraph.recipe.resolve" in modules
    assert not packages(modules) & RUNNING
    assert not own(modules) & {*STAGES, "checkpoint"}
    assert "mergegraph.syntax.yaml" not in modules


def test_a_check_loads_what_reads_headers_and_no_planner(family):
    (family / "ties.merge").write_text(RECIPE)
    modules = loaded_by(COMMAND.format(words=["check", "ties.merge"], code=0), family)
    assert "mergegraph.lower.lower" in modules
    assert not packages(modules) & RUNNING
    assert not own(modules) & {"plan", "merge", "outputs", "write", "execute", "kernels", "report"}


def test_a_plan_is_explained_without_what_runs_it(family):
    (family / "ties.merge").write_text(RECIPE)
    modules = loaded_by(COMMAND.format(words=["explain", "ties.merge"], code=0), family)
    assert "mergegraph.plan.planner" in modules
    # Which loops C has decides what memory a run needs.
    assert not packages(modules) & (RUNNING - {"numpy"})
    assert not own(modules) & {"merge", "outputs"}
    assert not modules & {"mergegraph.execute.run", "mergegraph.write.directory", "mergegraph.report.page"}


def test_a_merge_collects_garbage_again(family):
    (family / "ties.merge").write_text(RECIPE)
    loaded_by(f"{COMMAND.format(words=['run', 'ties.merge'], code=0)}\nimport gc\nassert gc.isenabled()", family)


def test_the_end_of_a_command_looks_for_no_garbage(tmp_path):
    code = (
        COMMAND.format(words=["--help"], code=0) + "\nimport gc\nassert gc.get_freeze_count() > len(gc.get_objects())"
    )
    loaded_by(code, tmp_path)
