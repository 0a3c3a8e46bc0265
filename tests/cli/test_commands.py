"""The commands as people and scripts call them: output, exit codes, nothing lost."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from families import make_family, read_model
from merging import digest

from mergegraph.cli.app import run

RECIPE = (
    'base = model("./base")\na = model("./a")\nb = model("./b")\nsave ties(a, b, base=base, density=0.5) to "out"\n'
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with three small models and a recipe, the current one."""
    make_family(tmp_path, models=("base", "a", "b"))
    (tmp_path / "ties.merge").write_text(RECIPE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_run_prints_one_json_object(folder, capsys):
    assert run(["run", "ties.merge", "--json", "--workers", "2"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert done["outputs"] == ["out"]
    assert done["bytes_written"] == sum(t.nbytes for t in read_model(folder / "out").values())
    assert done["bytes_read"] == sum(t.nbytes for m in ("base", "a", "b") for t in read_model(folder / m).values())
    assert set(done) == {
        *("outputs", "seconds", "bytes_read", "bytes_written", "planned_peak_bytes", "peak_rss_bytes", "units")
    }
    assert run(["verify", "out"]) == 0


def test_nothing_is_overwritten_unless_asked(folder, capsys):
    assert run(["run", "ties.merge"]) == 0
    before = digest(folder / "out")
    assert run(["run", "ties.merge"]) == 1
    assert "error[MG601]" in capsys.readouterr().err
    assert digest(folder / "out") == before
    assert run(["run", "ties.merge", "--overwrite"]) == 0
    assert digest(folder / "out") == before


def test_an_output_cannot_be_an_input(folder, capsys):
    before = digest(folder / "a")
    for out in ("a", "a/inside", "."):
        assert run(["run", "ties.merge", out, "--overwrite"]) == 1
    assert capsys.readouterr().err.count("error[MG60") == 3
    assert digest(folder / "a") == before


@pytest.mark.parametrize(
    ("change", "code", "error"),
    [
        (lambda f: (f / "ties.merge").write_text("save ties( to"), 2, "MG1"),
        (lambda f: (f / "ties.merge").write_text(RECIPE.replace("ties(", "tiess(")), 2, "MG204"),
        (lambda f: (f / "ties.merge").unlink(), 2, "MG540"),
        (lambda f: (f / "a" / "model.safetensors").unlink(), 3, "MG521"),
        (lambda f: os.truncate(f / "a" / "model.safetensors", 5000), 3, "MG512"),
    ],
)
def test_exit_codes(folder, capsys, change, code, error):
    change(folder)
    assert run(["run", "ties.merge"]) == code
    assert error in capsys.readouterr().err
    assert not (folder / "out").exists()


def test_too_little_memory_is_refused_with_the_least_that_does(folder, capsys):
    assert run(["run", "ties.merge", "--memory", "50MB"]) == 4
    message = capsys.readouterr().err
    assert "error[MG401]" in message
    least = message.split("--memory ")[1].split("`")[0]
    assert run(["run", "ties.merge", "--memory", least]) == 0


def test_check_shows_every_error_with_its_place(folder, capsys):
    saves = 'save mean(a, weight=0.5, normalise=true) to "x"\nsave slerq(a, a, t=1) to "y"\nsave aa to "z"\n'
    text = 'a = model("./a")\n' + saves
    (folder / "wrong.merge").write_text(text)
    assert run(["check", "wrong.merge"]) == 2
    shown = capsys.readouterr().err
    assert [line.strip() for line in shown.splitlines() if "^" in line] == [
        "│                          ^^^^^^^^^ unknown parameter",
        "│      ^^^^^ no function has this name",
        "│      ^^ nothing has this name here",
    ]
    assert run(["check", "wrong.merge", "--format", "json"]) == 2
    shown = json.loads(capsys.readouterr().out)
    found = shown["diagnostics"]
    assert shown["models"] == []
    assert [d["code"] for d in found] == ["MG212", "MG204", "MG201"]
    assert [d["labels"][0]["start"][0] for d in found] == [2, 3, 4]


def test_check_reads_headers(folder, capsys):
    make_family(folder / "other", models=("c",), hidden=16)
    (folder / "shapes.merge").write_text('a = model("./a")\nc = model("./other/c")\nsave mean(a, c) to "x"\n')
    assert run(["check", "shapes.merge"]) == 2
    assert "error[MG301]: the shapes of 21 tensors differ" in capsys.readouterr().err
    assert run(["check", "ties.merge"]) == 0
    assert capsys.readouterr().out == "ties.merge: fine\n"


def test_fmt(folder, capsys):
    messy = 'a=model( "./a" )   # one\nsave   a to "x"\n'
    (folder / "messy.merge").write_text(messy)
    assert run(["fmt", "--check", "messy.merge"]) == 1
    assert (folder / "messy.merge").read_text() == messy
    assert run(["fmt", "messy.merge"]) == 0
    assert (folder / "messy.merge").read_text() == 'a = model("./a")  # one\nsave a to "x"\n'
    assert run(["fmt", "--check", "messy.merge"]) == 0


@pytest.mark.parametrize("stage", ["syntax", "recipe", "graph", "optimized", "plan"])
@pytest.mark.parametrize("form", ["text", "json"])
def test_explain(folder, capsys, stage, form):
    assert run(["explain", "ties.merge", "--stage", stage, "--format", form]) == 0
    shown = capsys.readouterr().out
    if form == "json":
        assert json.loads(shown)
    else:
        assert "ties" in shown or "threshold" in shown or "trim" in shown


@pytest.mark.parametrize("suffix", [".svg", ".dot", ".mmd"])
def test_graph(folder, capsys, suffix):
    assert run(["graph", "ties.merge", "-o", f"p{suffix}"]) == 0
    assert run(["graph", "ties.merge", "-o", f"q{suffix}", "--tensor", "*.0.mlp.up_proj.weight"]) == 0
    recipe, tensor = (folder / f"p{suffix}").read_text(), (folder / f"q{suffix}").read_text()
    assert "elect" in recipe
    assert "threshold" in tensor


def test_the_page(folder, capsys):
    assert run(["graph", "ties.merge", "-o", "p.html"]) == 0
    assert capsys.readouterr().out == "p.html: the recipe, its graphs and its plan\n"
    assert run(["explain", "ties.merge", "--format", "html", "--memory", "4GB", "-o", "q.html"]) == 0
    assert '"budget_bytes":4000000000' in (folder / "q.html").read_text()
    assert run(["graph", "ties.merge", "-o", "p.html", "--tensor", "*"]) == 1
    assert "error[MG670]: the page has all tensors" in capsys.readouterr().err


def test_inspect_and_methods(folder, capsys):
    assert run(["inspect", "a", "--format", "json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["parameters"] == sum(t.numel() for t in read_model(folder / "a").values())
    assert facts["stacks"] == {"model.layers": 2}
    assert run(["methods"]) == 0
    assert "ties" in capsys.readouterr().out
    assert run(["methods", "ties"]) == 0
    assert "elect(trim(models - base, density)" in capsys.readouterr().out
    assert run(["methods", "tie"]) == 2
    assert "did you mean `ties`?" in capsys.readouterr().err


def test_demo(folder, capsys):
    assert run(["demo", "first"]) == 0
    assert run(["verify", "first/out/ties"]) == 0
    assert run(["demo", "first"]) == 2


def test_usage_errors_have_no_traceback(folder, capsys):
    for words in (
        ["run"],
        ["run", "ties.merge", "--memory", "lots"],
        ["frobnicate"],
        ["graph", "ties.merge", "-o", "x.bmp"],
    ):
        assert run(words) == 2
        assert "Traceback" not in capsys.readouterr().err


def start(folder, *words):
    """Start a merge of a few seconds in a process of its own."""
    command = [sys.executable, "-m", "mergegraph", "run", "sweep.merge", "out", "--workers", "2", *words]
    return subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A folder with three models and a recipe of many outputs, so that a run takes a while."""
    folder = tmp_path_factory.mktemp("large")
    saves = 'for d in [0.1, 0.2, 0.3, 0.4, 0.5]: save ties(a, b, base=base, density=d) to "{d}"\n'
    (folder / "sweep.merge").write_text(RECIPE.rpartition("save")[0] + saves)
    make_family(folder, models=("base", "a", "b"), hidden=512, intermediate=2048, vocab=4000)
    return folder


@pytest.fixture(scope="module")
def undisturbed(large, tmp_path_factory):
    """The digest of what a run writes that nothing disturbs."""
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    assert run(["run", str(large / "sweep.merge"), str(out)]) == 0
    return digest(out)


@pytest.fixture
def slow(large, tmp_path, monkeypatch):
    """The current folder, empty but for that recipe and its models."""
    for path in large.iterdir():
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def working(folder):
    """Wait until a run has begun to write."""
    for _ in range(3000):
        if list(folder.glob("out/*.partial-*/model/*.safetensors")):
            return
        time.sleep(0.02)
    raise AssertionError("the run never began to write")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_run_says_how_to_go_on(slow, undisturbed, number, code):
    process = start(slow)
    working(slow)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code, errors
    assert errors.splitlines()[-1].endswith("mergegraph run sweep.merge out --workers 2 --resume")
    assert not [path for path in (slow / "out").glob("*") if path.name in ("0.1", "0.5")]
    assert run(["run", "sweep.merge", "out", "--workers", "2", "--resume"]) == 0
    assert digest(slow / "out") == undisturbed


def test_a_second_interrupt_ends_a_run_at_once_and_loses_nothing(slow, undisturbed):
    process = start(slow)
    working(slow)
    process.send_signal(signal.SIGINT)
    time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode in (130, -signal.SIGINT), errors
    assert "Traceback" not in errors
    assert run(["run", "sweep.merge", "out", "--resume"]) == 0
    assert digest(slow / "out") == undisturbed
    assert run(["verify", str(slow / "out" / "0.3")]) == 0


def test_of_two_runs_at_once_one_wins(slow, undisturbed, capsys):
    first = start(slow)
    working(slow)
    first.send_signal(signal.SIGSTOP)
    assert run(["run", "sweep.merge", "out", "--resume"]) == 1
    refused = capsys.readouterr().err
    first.send_signal(signal.SIGCONT)
    _, errors = first.communicate(timeout=120)
    assert first.returncode == 0, errors
    assert refused.startswith(f"error[MG607]: another run is writing `0.1`: process {first.pid} on ")
    assert digest(slow / "out") == undisturbed


def test_killed_runs_resume_to_the_same_bytes(slow, undisturbed):
    for delay in (0.0, 0.3, 0.7):
        process = start(slow, "--resume")
        working(slow)
        time.sleep(delay)
        process.kill()
        process.communicate()
    assert run(["run", "sweep.merge", "out", "--resume"]) == 0
    assert digest(slow / "out") == undisturbed
