"""What happens at the edges of a run: odd inputs, refusals, limits, signals."""

import io
import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
from families import make_family
from safetensors.numpy import save_file

from mergegraph.cli import app
from mergegraph.cli.app import run
from mergegraph.write import directory
from mergegraph.write.signals import signals_deferred

RECIPE = 'save mean(model("./a"), model("./b")) to "deep/er/out"\n'


@pytest.fixture
def folder(tmp_path, monkeypatch):
    make_family(tmp_path, models=("a", "b"))
    (tmp_path / "mean.merge").write_text(RECIPE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("make", "what"), [(os.mkfifo, "this is no file"), (os.mkdir, "this is a folder")])
def test_only_files_are_imported(folder, capsys, make, what):
    make("odd.merge")
    (folder / "r.merge").write_text(f'import "odd.merge"\n{RECIPE}')
    assert run(["check", "r.merge"]) == 2
    assert capsys.readouterr().err == (
        "error[MG250]: `odd.merge` can't be read\n"
        "  ┌─ r.merge:1:8\n"
        '1 │ import "odd.merge"\n'
        f"  │        ^^^^^^^^^^^ {what}\n"
        "  = help: paths of imports begin at the recipe's folder\n\n"
    )


def test_recipes_come_from_standard_input_too(folder, monkeypatch, capsys):
    for command in (["check", "-"], ["run", "-"]):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(RECIPE.encode())))
        assert run(command) == 0
    assert (folder / "deep" / "er" / "out" / "model.safetensors").exists()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"save nothing")))
    assert run(["check", "-"]) == 2
    assert "┌─ <stdin>:1:13" in capsys.readouterr().err


def test_a_refused_run_leaves_no_folders(folder, monkeypatch, capsys):
    (folder / "file").touch()
    before = sorted(folder.rglob("*"))
    monkeypatch.setattr(directory, "refuse_place", _refuse)
    assert run(["run", "mean.merge"]) == 1
    assert run(["run", "mean.merge", "file/out"]) == 1
    assert "error[MG641]" in capsys.readouterr().err
    assert sorted(folder.rglob("*")) == before


def _refuse(*_):
    raise PermissionError(13, "Permission denied")


def test_an_empty_output_is_refused_with_its_place(tmp_path, monkeypatch, capsys):
    save_file({}, tmp_path / "none.safetensors")
    (tmp_path / "r.merge").write_text('save model("./none.safetensors") to "out"\n')
    monkeypatch.chdir(tmp_path)
    assert run(["run", "r.merge"]) == 1
    assert capsys.readouterr().err == (
        "error[MG616]: the output has no tensors\n"
        "  ┌─ r.merge:1:1\n"
        '1 │ save model("./none.safetensors") to "out"\n'
        "  │ ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^\n\n"
    )


def test_a_limit_on_files_is_told_as_such(folder):
    code = (
        "import resource, sys\nresource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        "from mergegraph.cli.app import run\nsys.exit(run(['run', 'mean.merge']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 4
    assert "error[MG682]: a file of the output is larger than the system lets files be here\n" in done.stderr
    assert "raise the limit (`ulimit -f unlimited`), or save smaller shards" in done.stderr
    assert not (folder / "deep").exists()


def test_only_an_interrupted_run_can_be_resumed(folder, monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("mergegraph.compiler.read_recipe", interrupted)
    assert run(["check", "run"]) == app.INTERRUPTED
    assert capsys.readouterr().err.strip() == "interrupted"
    (folder / "own.py").touch()
    assert run(["--ops", "own.py", "run", "mean.merge"]) == app.INTERRUPTED
    assert capsys.readouterr().err.endswith("go on with: mergegraph --ops own.py run mean.merge --resume\n")


def test_messages_name_what_was_called(folder, capsys):
    (folder / "r.merge").write_text(
        'base = model("./a")\nb = model("./b")\n'
        'save ties(b, base=base, density=select { "*.mlp.*": 5, _: 1 }) to "x"\n'
        'save dare_ties(b, base=base, rescale="soft") to "y"\n'
    )
    assert run(["check", "r.merge"]) == 2
    assert "error[MG225]: `rescale` of `dare_ties` can't have this value" in capsys.readouterr().err
    text = (folder / "r.merge").read_text().splitlines()
    (folder / "r.merge").write_text("\n".join(text[:3]))
    assert run(["check", "r.merge"]) == 2
    assert "error[MG323]: `density` of `ties` must lie between 0 and 1; here it is 5" in capsys.readouterr().err


def test_signals_wait_for_all_names_to_be_given(folder, monkeypatch):
    (folder / "two.merge").write_text('a = model("./a")\nsave a to "one"\nsave a to "two"\n')
    publish = directory.publish

    def interrupted(*arguments, **named):
        signal.raise_signal(signal.SIGINT)
        return publish(*arguments, **named)

    monkeypatch.setattr(directory, "publish", interrupted)
    assert run(["run", "two.merge"]) == app.INTERRUPTED
    assert (folder / "one" / "mergegraph.json").exists()
    assert (folder / "two" / "mergegraph.json").exists()


def test_deferred_signals_come_afterwards_and_only_there():
    done = []

    def interrupted():
        with signals_deferred():
            signal.raise_signal(signal.SIGINT)
            done.append("all of the block")

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert done == ["all of the block"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

    def elsewhere():
        with signals_deferred():
            done.append("in a thread")

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert done[1:] == ["in a thread"]


def test_an_interrupt_before_anything_has_begun():
    code = (
        "import sys\n"
        "from mergegraph.cli import main\n"
        "class Interrupted:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'mergegraph.cli.app':\n"
        "            raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupted())\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "interrupted\n")


@pytest.mark.parametrize(
    ("spoiled", "text"),
    [
        ({"a.weight": 1}, "1 element of a merged tensor is NaN or infinite: `a.weight`"),
        (
            {"a.weight": 2, "b.weight": 1500},
            "1,502 elements of 2 merged tensors are NaN or infinite: `b.weight`, `a.weight`",
        ),
    ],
)
def test_warning_of_what_is_not_finite(tmp_path, monkeypatch, capsys, spoiled, text):
    for model in ("a", "b"):
        found = {name: np.ones(2000, np.float32) for name in ("a.weight", "b.weight")}
        for name, count in spoiled.items() if model == "a" else ():
            found[name][:count] = np.nan
        save_file(found, tmp_path / f"{model}.safetensors")
    (tmp_path / "mean.merge").write_text('save mean(model("./a.safetensors"), model("./b.safetensors")) to "out"\n')
    monkeypatch.chdir(tmp_path)
    assert run(["run", "mean.merge"]) == 0
    assert (
        capsys.readouterr()
        .err.split("\n\n")[0]
        .endswith(
            f"warning[MG453]: {text}\n  = help: an input has such elements, or `dtype` is too narrow for the values"
        )
    )


UNREAD = [
    ("mena.merge", "No such file or directory", "did you mean `mean.merge`?"),
    ("nowhere/x.merge", "No such file or directory", "there is no such folder either"),
    ("a", "Is a directory", "it is a model, which `mergegraph inspect a` shows"),
    ("empty", "Is a directory", "a recipe is a file `NAME.merge`"),
    (".", "Is a directory", "recipes in this folder: `mean.merge`"),
]


@pytest.mark.parametrize(("path", "reason", "help"), UNREAD)
def test_recipes_that_are_elsewhere(folder, capsys, path, reason, help):
    (folder / "empty").mkdir()
    assert run(["run", path]) == 2
    assert capsys.readouterr().err == (
        f"error[MG540]: the recipe can't be read: {reason}\n  --> {path}\n  = help: {help}\n\n"
    )


def test_standard_input_by_its_name(folder):
    script = f"import sys; from mergegraph.cli.app import run; sys.exit(run({['check', '/dev/stdin']!r}))"
    done = subprocess.run([sys.executable, "-c", script], input=RECIPE, text=True, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (0, "/dev/stdin: fine\n")


def test_check_tells_of_missing_models_beside_wrong_names(folder, capsys):
    text = 'a = model("./aa")\nb = model("./b")\nsave slerp(a, b, tt=0.5) to "out"\nsave model("./none") to "y"\n'
    (folder / "r.merge").write_text(text)
    assert run(["check", "r.merge"]) == 2
    assert capsys.readouterr().err == (
        "error[MG501]: there is no model at `./aa`: nothing has this path\n"
        "  --> aa\n"
        "  ┌─ r.merge:1:11\n"
        '1 │ a = model("./aa")\n'
        "  │           ^^^^^^\n"
        "  = help: did you mean `./a`?\n\n"
        "error[MG212]: `slerp` has no parameter `tt`\n"
        "  ┌─ r.merge:3:18\n"
        '3 │ save slerp(a, b, tt=0.5) to "out"\n'
        "  │                  ^^ unknown parameter\n"
        "  = help: did you mean `t`?\n"
        "  = help: write `slerp(a, b, t, axis=…)`\n\n"
        "error[MG501]: there is no model at `./none`: nothing has this path\n"
        "  --> none\n"
        "  ┌─ r.merge:4:12\n"
        '4 │ save model("./none") to "y"\n'
        "  │            ^^^^^^^^\n"
        "  = help: paths of models begin at the recipe's folder\n\n"
        "3 errors\n"
    )
    assert run(["check", "--types", "r.merge"]) == 2
    assert "MG501" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("code", "status", "said"),
    [
        ("atexit.register(signal.raise_signal, signal.SIGINT)", -signal.SIGINT, ""),
        ("signal.signal(signal.SIGINT, signal.SIG_IGN); atexit.register(signal.raise_signal, signal.SIGINT)", 0, ""),
        ("cli.app._stopped = app.app.main = interrupted", 130, "interrupted\n"),
    ],
    ids=["at the end", "ignored", "while the first is told"],
)
def test_an_interrupt_after_everything_has_ended(code, status, said):
    program = (
        "import atexit, signal, sys\n"
        "from mergegraph import cli\n"
        "from mergegraph.cli import app, main\n"
        "def interrupted(*_, **__):\n"
        "    raise KeyboardInterrupt\n"
        f"{code}\n"
        "sys.argv[1:] = ['--version']\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (status, said)
