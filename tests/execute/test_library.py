"""Loops that were compiled once are used again, if they are what was kept."""

import json
import os
import subprocess
import sys

import pytest
import torch
from compiling import compiles
from every_method import HEADER
from families import make_family
from merging import digest, run, tight
from safetensors.torch import save_file

from mergegraph.execute import library
from mergegraph.kernels.native import scans
from mergegraph.plan.program import SAMPLE_SHARE, SAMPLE_TILE, SAMPLED_FROM

LINEAR = 'save linear(a, b, c, weight=[{}, 0.3, 0.2]) to "out"'


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """The folder of the loops, empty, and a family beside it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    make_family(tmp_path)
    return tmp_path / "cache" / "mergegraph" / "loops"


@pytest.fixture
def compilations(monkeypatch):
    """The commands that a compiler was called with."""
    called = []

    def start(compiler, flags, *paths):
        if flags is not library.PLAIN:
            called.append((compiler, *flags))
        return started(compiler, flags, *paths)

    started = library._start
    monkeypatch.setattr(library, "_start", start)
    return called


def compiled(folder, name, weight=0.5):
    """Return the digest of a merge that is compiled."""
    result = run(folder, HEADER + LINEAR.format(weight), folder / name / "out", compile=True)
    assert result.compiled_loops > 0
    assert result.warnings == ()
    return digest(folder / name)


def test_loops_are_compiled_once_whatever_the_weights(shelf, tmp_path, compilations):
    if not compiles():
        return
    first = compiled(tmp_path, "first")
    assert compiled(tmp_path, "second") == first
    assert compiled(tmp_path, "third", weight=0.75) != first
    assert len(compilations) == 1
    assert sorted(path.suffix for path in shelf.iterdir()) == [".json", ".so"]


@pytest.mark.parametrize("name", ["*.so", "*.json"])
@pytest.mark.parametrize("damage", ["cut", "flip", "empty"])
def test_what_is_damaged_is_compiled_again(shelf, tmp_path, compilations, name, damage):
    if not compiles():
        return
    first = compiled(tmp_path, "first")
    (path,) = shelf.glob(name)
    data = path.read_bytes()
    path.write_bytes({"cut": data[:-30], "flip": data[:40] + bytes([data[40] ^ 1]) + data[41:], "empty": b""}[damage])
    assert compiled(tmp_path, "second") == first
    assert len(compilations) == 2
    assert compiled(tmp_path, "third") == first
    assert len(compilations) == 2


@pytest.mark.parametrize("mode", [0o620, 0o602])
@pytest.mark.parametrize("of", ["file", "folder"])
def test_what_others_can_write_is_not_run(shelf, tmp_path, compilations, mode, of):
    if not compiles():
        return
    compiled(tmp_path, "first")
    (path,) = shelf.glob("*.so")
    (path if of == "file" else shelf).chmod(mode | 0o100)
    compiled(tmp_path, "second")
    assert len(compilations) == 2


def test_without_a_place_to_keep_them_loops_are_compiled_each_time(shelf, tmp_path, compilations):
    if not compiles():
        return
    shelf.parent.parent.write_text("not a folder")
    assert compiled(tmp_path, "first") == compiled(tmp_path, "second")
    assert len(compilations) == 2


def test_loops_that_differ_are_known_to(shelf, tmp_path, monkeypatch, compilations):
    if not compiles():
        return
    monkeypatch.setattr(library, "FLAGS", (*library.FLAGS, "-ffp-contract=fast", "-ffast-math"))
    for name in ("first", "second"):
        result = run(tmp_path, HEADER + LINEAR.format(0.5), tmp_path / name / "out", compile=True)
        assert [w.code for w in result.warnings] == ["MG462"]
    assert len(compilations) == 1
    monkeypatch.undo()
    assert compiled(tmp_path, "third") == digest(tmp_path / "first") == digest(tmp_path / "second")


def test_the_oldest_are_forgotten(shelf, tmp_path, monkeypatch, compilations):
    if not compiles():
        return
    monkeypatch.setattr(library, "KEPT", 2)
    for age, op in enumerate(("a + (b - base)", "a - (b - base)", "base + (b - a) * 2")):
        run(tmp_path, f'{HEADER}save {op} to "out"', tmp_path / str(age) / "out", compile=True)
        for path in shelf.iterdir():
            os.utime(path, (path.stat().st_atime, path.stat().st_mtime - 10))
    assert len(list(shelf.glob("*.so"))) == len(list(shelf.glob("*.json"))) == 2
    run(tmp_path, f'{HEADER}save base + (b - a) * 2 to "out"', tmp_path / "again" / "out", compile=True)
    assert len(compilations) == 3


MERGE = """
import json, sys
from mergegraph.cli import main
sys.argv = ["mergegraph", "run", "t.merge", *sys.argv[1:], "--json"]
try:
    main()
except SystemExit as stop:
    assert not stop.code
finally:
    print("torch" in sys.modules)
"""


@pytest.mark.parametrize(
    "expression",
    [
        "linear(a, b, c, weight=[0.5, 0.3, 0.2])",
        "ties(a, b, c, base=base, density=0.5)",
        "dare_ties(a, b, c, base=base, density=0.5)",
        "slerp(a, b, t=0.3)",
        "della(a, b, c, base=base, density=0.5, epsilon=0.1)",
    ],
)
def test_a_merge_that_is_all_compiled_needs_no_torch(shelf, tmp_path, expression):
    if not compiles():
        return
    (tmp_path / "t.merge").write_text(f'{HEADER}save {expression} to "out"')
    found = []
    for name, option in (("first", "--compile"), ("second", "--compile"), ("kernels", "--no-compile")):
        command = [sys.executable, "-c", MERGE, f"{name}/out", option]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
        text, _, torch_is_loaded = done.stdout.rstrip().rpartition("\n")
        found.append((torch_is_loaded, json.loads(text)))
    assert [loaded for loaded, _ in found] == ["False", "False", "True"]
    first, second, kernels = (figures for _, figures in found)
    assert first["compile_seconds"] > second["compile_seconds"]
    for figures in (first, second):
        assert figures["peak_rss_bytes"] <= figures["planned_peak_bytes"] < kernels["peak_rss_bytes"]
    assert digest(tmp_path / "first") == digest(tmp_path / "second") == digest(tmp_path / "kernels")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_sample_that_misleads_costs_two_more_passes_of_c(tmp_path, monkeypatch, workers):
    if not compiles():
        return
    size = 2 * SAMPLED_FROM + 1001
    generator = torch.Generator().manual_seed(3)
    for name in ("base", "a", "b", "c"):
        values = torch.randn(size, generator=generator)
        for start in range(0, size, SAMPLE_SHARE * SAMPLE_TILE):
            values[start : start + SAMPLE_TILE] *= 1e-6
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
        save_file({"w": values}, tmp_path / name / "model.safetensors")
    text = f'{HEADER}save ties(a, b, c, base=base, density=0.4) to "out"'
    run(tmp_path, text, tmp_path / "kernels" / "out", compile=False)
    again = []
    asked = scans.MagnitudeLimit.again
    monkeypatch.setattr(scans.MagnitudeLimit, "again", lambda self: again.append(asked(self)) or again[-1])
    run(tmp_path, text, tmp_path / "compiled" / "out", compile=True, workers=workers, memory=tight() + 60_000_000)
    assert again.count(True) > 2
    assert digest(tmp_path / "kernels") == digest(tmp_path / "compiled")


def test_a_cache_that_is_no_absolute_path_is_ignored(shelf, tmp_path, monkeypatch):
    if not compiles():
        return
    monkeypatch.setenv("XDG_CACHE_HOME", "cache")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    compiled(tmp_path, "first")
    assert not (tmp_path / "cache").exists()
    assert len(list((tmp_path / "home" / ".cache" / "mergegraph" / "loops").glob("*.so"))) == 1


def test_without_room_for_what_is_compiled_a_merge_runs_all_the_same(shelf, tmp_path):
    if not compiles():
        return
    (tmp_path / "t.merge").write_text(f'{HEADER}save lerp(a, b, t=0.3) to "out"')
    code = "import tempfile; tempfile.gettempdir = lambda: '/nowhere'\n" + MERGE
    command = [sys.executable, "-c", code, "out"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert "warning[MG461]: the C compiler failed: No such file or directory\n" in done.stderr
    assert done.stdout.endswith("\nTrue\n")
    assert (tmp_path / "out" / "model.safetensors").exists()
