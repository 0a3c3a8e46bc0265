"""Imports: where their paths begin, and that what they say counts when a run is resumed."""

import os

import pytest
import torch
from families import make_family, write_model
from merging import merged, run

from mergegraph.compiler import read_recipe
from mergegraph.diagnostics import MergeGraphError
from mergegraph.merge import Options, merge

SOURCES = ["./b", "b", "../models/b"]


@pytest.mark.parametrize("source", SOURCES)
def test_paths_in_an_import_begin_at_its_folder(tmp_path, source):
    make_family(tmp_path / "models", models=("a", "b"))
    (tmp_path / "models" / "both.merge").write_text(f'fn half(x) = mean(x, model("{source}"))\n')
    text = 'import "models/both.merge"\nsave half(model("./models/a")) to "out"'
    direct = 'save mean(model("./models/a"), model("./models/b")) to "out"'
    expected = merged(tmp_path, direct, tmp_path / "direct")
    found = merged(tmp_path, text, tmp_path / "imported")
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_paths_in_an_import_by_an_absolute_path(tmp_path):
    make_family(tmp_path / "models", models=("a",))
    (tmp_path / "models" / "a.merge").write_text('a = model("./a")\n')
    (tmp_path / "recipe").mkdir()
    run(tmp_path / "recipe", f'import "{tmp_path}/models/a.merge"\nsave a to "out"', tmp_path / "out")


def test_what_is_imported_twice_is_read_once(tmp_path):
    make_family(tmp_path, models=("a",))
    (tmp_path / "base.merge").write_text('a = model("./a")\n')
    (tmp_path / "more.merge").write_text('import "base.merge"\nfn half(x) = mean(x, a)\n')
    run(tmp_path, 'import "base.merge"\nimport "more.merge"\nsave half(a) to "out"', tmp_path / "out")


def interrupted(folder):
    """Run a recipe that imports `weights.merge` up to where a tensor of integers differs; return its recipe."""
    same = {"x": torch.ones(8), "y": torch.zeros(3)}
    write_model(folder / "a", {**same, "ids": torch.zeros(4, dtype=torch.uint8)})
    write_model(
        folder / "b", {"x": torch.full((8,), 3.0), "y": torch.zeros(3), "ids": torch.ones(4, dtype=torch.uint8)}
    )
    (folder / "weights.merge").write_text("fn both(x, y) = mean(x, y)\n")
    (folder / "main.merge").write_text('import "weights.merge"\nsave both(model("./a"), model("./b")) to "out"\n')
    with pytest.raises(MergeGraphError, match="MG541"):
        merge(read_recipe(folder / "main.merge"), folder / "out", Options(workers=1))
    assert list(folder.glob("out.partial-*"))
    return folder / "main.merge"


def test_a_changed_import_does_not_resume(tmp_path):
    recipe = interrupted(tmp_path)
    (tmp_path / "weights.merge").write_text('fn both(x, y) = select { "ids": x, _: mean(x, y, weight=[3, 1]) }\n')
    with pytest.raises(MergeGraphError, match=r"MG611.*it was begun by another recipe"):
        merge(read_recipe(recipe), tmp_path / "out", Options(resume=True))


def test_another_file_of_the_same_size_and_time_does_not_resume(tmp_path):
    recipe = interrupted(tmp_path)
    old = tmp_path / "b" / "model.safetensors"
    times = (old.stat().st_atime_ns, old.stat().st_mtime_ns)
    copy = tmp_path / "copy"
    copy.write_bytes(old.read_bytes())
    os.utime(copy, ns=times)
    copy.replace(old)
    with pytest.raises(MergeGraphError, match=r"MG611.*these inputs have changed since"):
        merge(read_recipe(recipe), tmp_path / "out", Options(resume=True))
