"""Inputs that someone else writes to while they are merged: an error, and nothing under the output's name."""

import os
import shutil

import pytest
from families import make_family
from merging import compilation, digest, run

from mergegraph.diagnostics import MergeGraphError
from mergegraph.merge import Options, merge

RECIPE = 'a = model("./a")\nb = model("./b")\nsave mean(a, b) to "out"\n'
PLACE = "out"


@pytest.fixture
def family(tmp_path):
    make_family(tmp_path, models=("a", "b"))
    run(tmp_path, RECIPE, tmp_path / "undisturbed" / PLACE)
    shutil.copytree(tmp_path / "b", tmp_path / "kept", copy_function=shutil.copy2)
    return tmp_path


def disturbed(folder, change, **options):
    """Run the recipe, and change the file of `b` once half of all bytes were read."""
    moved = 0

    def planned(plan, _):
        def report(count, _):
            nonlocal moved
            before, moved = moved, moved + count
            if before < plan.bytes_read // 2 <= moved:
                change(folder / "b" / "model.safetensors")

        return report

    return merge(compilation(folder, RECIPE), folder / PLACE, Options(workers=1, **options), planned=planned)


def cut(path):
    os.truncate(path, 4000)


def edit(path):
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"?")


def restore(folder):
    """Put back what the file of `b` had in it, and its times, without making another file of it."""
    path, kept = folder / "b" / "model.safetensors", folder / "kept" / "model.safetensors"
    path.write_bytes(kept.read_bytes())
    shutil.copystat(kept, path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (cut, "error[MG531]: the file was truncated while it was read: it now ends at byte 4,000\n  --> PATH"),
        (edit, "error[MG530]: the file has changed since its header was read\n  --> PATH"),
    ],
)
def test_a_file_that_is_written_to_is_an_error_and_the_run_goes_on_once_it_is_restored(family, change, said):
    with pytest.raises(MergeGraphError) as caught:
        disturbed(family, change)
    assert caught.value.exit_code == 3
    path = str(family / "b" / "model.safetensors")
    assert str(caught.value).replace(path, "PATH").startswith(said)
    assert not (family / PLACE).exists()
    with pytest.raises(MergeGraphError, match=r"MG512|MG611.*these inputs have changed since"):
        run(family, RECIPE, family / PLACE, resume=True)
    restore(family)
    assert run(family, RECIPE, family / PLACE, resume=True).units_before > 0
    assert digest(family / PLACE) == digest(family / "undisturbed" / PLACE)


def test_a_file_that_is_replaced_goes_on_being_read_as_it_was(family):
    def replace(path):
        (family / "other").write_bytes(b"other weights")
        os.replace(family / "other", path)

    disturbed(family, replace)
    assert digest(family / PLACE) == digest(family / "undisturbed" / PLACE)
