"""Files that commands write beside models: nothing that matters is replaced, nothing is left half written."""

import os
import subprocess
import sys

import pytest
from families import make_family

from mergegraph.cli.app import run

RECIPE = 'a = model("./a")\nb = model("./b")\nsave mean(a, b) to "out"\n'


@pytest.fixture
def folder(tmp_path, monkeypatch):
    make_family(tmp_path, models=("a", "b"))
    (tmp_path / "mean.merge").write_text(RECIPE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("mean.merge", "MG643]: a report is not written to a file ending .merge, which is a recipe"),
        ("new.yaml", "MG643]: a report is not written to a file ending .yaml, which is a recipe"),
        ("a/model.safetensors", "MG683]: a report is not written into the folder of a model"),
        ("a/config.json", "MG683]: a report is not written into the folder of a model"),
    ],
)
def test_a_report_replaces_no_recipe_and_no_model(folder, capsys, name, error):
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert run(["explain", "mean.merge", "-o", name]) == 1
    assert capsys.readouterr().err == (
        f"error[{error}\n  --> {name}\n  = help: choose another {'name' if 'MG643' in error else 'folder'}\n\n"
    )
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("words", [["explain", "mean.merge"], ["graph", "mean.merge"]])
def test_a_report_that_cannot_be_written(folder, capsys, words):
    assert run([*words, "-o", "no/such/file.svg"]) == 1
    assert capsys.readouterr().err == (
        "error[MG644]: the file can't be written: No such file or directory\n  --> no/such/file.svg\n\n"
    )


def test_a_report_is_written_again(folder):
    for _ in range(2):
        assert run(["graph", "mean.merge", "-o", "p.svg"]) == 0
    assert sorted(path.name for path in folder.iterdir()) == ["a", "b", "mean.merge", "p.svg"]


def test_fmt_keeps_mode_and_link(folder):
    (folder / "messy.merge").write_text('save   model("./a") to "x"')
    (folder / "messy.merge").chmod(0o640)
    (folder / "link.merge").symlink_to("messy.merge")
    assert run(["fmt", "link.merge"]) == 0
    assert (folder / "link.merge").is_symlink()
    assert (folder / "messy.merge").read_text() == 'save model("./a") to "x"\n'
    assert (folder / "messy.merge").stat().st_mode & 0o777 == 0o640


def test_fmt_loses_nothing_when_the_disk_is_full(folder, capsys, monkeypatch):
    messy = 'save   model("./a") to "x"'
    (folder / "messy.merge").write_text(messy)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert run(["fmt", "messy.merge"]) == 1
    assert "error[MG644]: the file can't be written: No space left on device" in capsys.readouterr().err
    assert (folder / "messy.merge").read_text() == messy
    assert sorted(path.name for path in folder.iterdir()) == ["a", "b", "mean.merge", "messy.merge"]


def test_output_paths_may_begin_at_home(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder / "home"))
    (folder / "home.merge").write_text('save model("./a") to "~/x"\n')
    assert run(["run", "home.merge"]) == 0
    assert (folder / "home" / "x" / "model.safetensors").exists()


@pytest.mark.parametrize("path", ["../x", "/x", "~/x", "y/../../x"])
def test_several_outputs_stay_below_their_root(folder, capsys, path):
    (folder / "two.merge").write_text(f'a = model("./a")\nsave a to "{path}"\nsave a to "y"\n')
    assert run(["run", "two.merge", "root"]) == 2
    assert capsys.readouterr().err == (
        f"error[MG642]: the path `{path}` can't be put under another folder\n"
        "  ┌─ two.merge:2:1\n"
        f'2 │ save a to "{path}"\n'
        f"  │ {'^' * (12 + len(path))}\n"
        "  = help: leave out OUT, or make the path one inside OUT\n\n"
    )
    assert not (folder / "root").exists()


def test_two_spellings_of_one_output(folder, capsys):
    (folder / "two.merge").write_text(f'a = model("./a")\nsave a to "y"\nsave a to "{folder}/y"\n')
    assert run(["run", "two.merge"]) == 2
    assert "error[MG243]: two outputs go to the same folder" in capsys.readouterr().err
    assert not list(folder.glob("y*"))


def test_a_full_standard_output(folder):
    with open("/dev/full", "wb") as full:
        command = [sys.executable, "-m", "mergegraph", "methods"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 4
    assert done.stderr == ("error[MG645]: the system refused: No space left on device\n  --> standard output\n\n")


@pytest.mark.parametrize("closed", ["2>&-", "<&- >&- 2>&-"])
def test_a_run_without_its_standard_streams(folder, closed):
    (folder / "copy.merge").write_text('save model("./a") to "out"\n')
    command = f"{sys.executable} -m mergegraph run copy.merge --json {closed}"
    assert subprocess.run(["sh", "-c", command], check=False).returncode == 0
    assert run(["verify", "out"]) == 0


def test_a_closed_standard_output(folder):
    done = subprocess.run(["sh", "-c", f"{sys.executable} -m mergegraph methods >&-"], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_the_command_that_goes_on_is_quoted(folder, capsys, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("mergegraph.compiler.read_recipe", interrupted)
    assert run(["run", "my recipe.merge", "out"]) == 130
    assert capsys.readouterr().err == (
        "\ninterrupted; nothing is lost, go on with: mergegraph run 'my recipe.merge' out --resume\n"
    )


def test_a_report_into_a_pipe(folder):
    command = [sys.executable, "-m", "mergegraph", "graph", "mean.merge", "-o", "p.dot"]
    os.mkfifo(folder / "p.dot")
    with subprocess.Popen(command, stdout=subprocess.DEVNULL), open(folder / "p.dot") as pipe:
        assert pipe.read().startswith("digraph")
    assert (folder / "p.dot").is_fifo()


def test_what_an_output_is_called_does_not_steer_the_terminal(folder, capsys):
    (folder / "odd.merge").write_text('save model("./a") to "x\\u{1b}[31m"\n')
    assert run(["run", "odd.merge"]) == 0
    assert capsys.readouterr().out.startswith("x\\x1b[31m: read ")


def test_a_file_in_the_place_of_a_folder(folder, capsys):
    (folder / "file").write_text("")
    assert run(["run", "mean.merge", "file/out"]) == 1
    assert capsys.readouterr().err == (
        f"error[MG641]: the folder for the output can't be made: a file is in its place\n  --> {folder}/file\n\n"
    )


def test_a_current_folder_that_was_removed(folder):
    command = f"mkdir gone; cd gone; rmdir ../gone; {sys.executable} -m mergegraph run {folder}/mean.merge {folder}/out"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == (
        "error[MG645]: the current folder is not there any more\n  --> .\n  = help: change into one that is\n\n"
    )


def test_links_that_go_in_a_circle_in_the_place_of_a_folder(folder, capsys):
    (folder / "one").symlink_to("two")
    (folder / "two").symlink_to("one")
    assert run(["run", "mean.merge", "one/out"]) == 1
    assert capsys.readouterr().err == (
        f"error[MG641]: the folder for the output can't be made: a file is in its place\n  --> {folder}/one\n\n"
    )
    assert run(["run", "mean.merge", "two"]) == 1
    assert "error[MG602]: `two` exists and is not a folder" in capsys.readouterr().err


def test_a_sweep_of_more_outputs_than_files_may_be_open_at_first(folder):
    steps = ", ".join(str(i / 100) for i in range(40))
    sweep = f'for t in [{steps}]: save slerp(a, b, t=t) to "s/{{t}}"\n'
    (folder / "sweep.merge").write_text(f'a = model("./a")\nb = model("./b")\n{sweep}')
    command = f"ulimit -Sn 64; {sys.executable} -m mergegraph run sweep.merge"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(list((folder / "s").iterdir())) == 40
