"""What `import mergegraph` gives: all of it, typed, and nothing heavy."""

import subprocess
import sys
from pathlib import Path

import mergegraph as mg
from mergegraph.api.functions import declarations

STUB = Path(mg.__file__).with_suffix(".pyi")
HEAD = '''"""MergeGraph: a compiler for model merges.

Made from the declarations of the language by `make fixtures`; do not edit below the imports.
"""

from mergegraph.api.expression import Expression as Expression
from mergegraph.api.expression import Operand
from mergegraph.api.expression import select as select
from mergegraph.api.recipe import Recipe as Recipe
from mergegraph.api.recipe import load as load
from mergegraph.api.recipe import parse as parse
from mergegraph.api.recipe import save as save
from mergegraph.api.recipe import together as together
from mergegraph.api.views import Graph as Graph
from mergegraph.api.views import Plan as Plan
from mergegraph.diagnostics import Diagnostic as Diagnostic
from mergegraph.diagnostics import MergeGraphError as MergeGraphError
from mergegraph.merge import Result as Result
from mergegraph.own import op as op

__version__: str

'''
USAGE = """
from pathlib import Path

import mergegraph as mg

base = mg.model("./base", revision=None)
a, b = (mg.model(name) for name in ("./a", "./b"))
density = mg.select({"*.mlp.*": 0.5, "_": mg.ramp(0.9, 0.4, outside=0.7)})
merged: mg.Expression = mg.ties(a, b, base=base, weight=[0.7, 0.8], density=density, lambda_=0.5)
stacked = mg.stack(a.layers[0:16], b.layers("model.layers")[8:24], rest=a)
delta = -(0.5 * (a - base) + mg.trim([b] - base, 0.5))
recipe = mg.together(*(mg.save(mg.slerp(a, b, t), f"out/{t}", dtype="bfloat16") for t in (0.3, 0.5)), seed=3)
recipe += mg.save(merged, Path("out/ties"), tokenizer=base)
warnings: tuple[mg.Diagnostic, ...] = recipe.check()
text: str = recipe.explain("plan", memory="2GB") + recipe.text + mg.parse(recipe.text).text
svg: str = recipe.graph("optimized", tensor="*.0.*").svg
peak: int = recipe.plan("2GB").planned_peak_bytes
result: mg.Result = recipe.run("out", memory="2GB", overwrite=True)
paths: tuple[Path, ...] = result.outputs
"""
WRONG = "import mergegraph as mg\n\nmg.tiess()\nmg.ties(base=object())\n"


def test_stub_declares_every_function(check_text):
    check_text(STUB, HEAD + declarations())


def test_namespace_is_what_the_stub_declares():
    declared = [line.split("(")[0].removeprefix("def ") for line in STUB.read_text().splitlines() if "def " in line]
    imported = [line.split(" as ")[1] for line in STUB.read_text().splitlines() if " as " in line]
    assert sorted(["__version__", *declared, *imported]) == dir(mg)
    for name in dir(mg):
        assert getattr(mg, name) is not None
    folder = Path(mg.__file__).parent
    assert not {*dir(mg)} & {path.stem for path in folder.iterdir()} - {"__init__"}


def test_functions_tell_what_they_are():
    assert mg.ties.__name__ == "ties"
    assert mg.ties.__doc__.startswith("TIES: trim each task vector, elect a sign per weight, average what agrees.")
    import inspect

    assert str(inspect.signature(mg.ties)).startswith("(*models, base, weight=Ellipsis")


def test_strict_type_checkers_accept_use_and_refuse_misuse(tmp_path):
    (tmp_path / "usage.py").write_text(USAGE)
    (tmp_path / "wrong.py").write_text(WRONG)
    # As `make types` does it, whose results can then be taken; what is known of a file may be from where it lay then.
    command = [sys.executable, "-m", "mypy", str(tmp_path / "usage.py"), str(tmp_path / "wrong.py")]
    done = subprocess.run(command, cwd=STUB.parent.parent, capture_output=True, text=True)
    errors = [Path(line.split(" error: ")[0]).name for line in done.stdout.splitlines() if " error: " in line]
    assert errors == ["wrong.py:3:", "wrong.py:4:"], done.stdout + done.stderr


def test_expressions_load_neither_torch_nor_dask():
    code = (
        "import sys, mergegraph as mg\nr = mg.save(mg.linear(mg.model('./a'), mg.model('./b')), 'x')\nstr(r)\n"
        "assert not {'torch', 'dask'} & {*sys.modules}"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
