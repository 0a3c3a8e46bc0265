"""What a run shows while it runs: on a terminal, and in a log."""

import os
import pty
import re
import subprocess
import sys

import pytest
from families import make_family

from mergegraph.cli import progress
from mergegraph.cli.app import run

RECIPE = 'save mean(model("./a"), model("./b")) to "out"\n'
CHILD = """
import sys
from mergegraph.cli import progress
progress.SECONDS_BETWEEN_DRAWINGS = progress.SECONDS_BETWEEN_LINES = 0.0
from mergegraph.cli.app import run
sys.exit(run(sys.argv[1:]))
"""


@pytest.fixture
def folder(tmp_path):
    make_family(tmp_path, models=("a", "b"))
    (tmp_path / "mean.merge").write_text(RECIPE)
    return tmp_path


@pytest.fixture
def told(folder, monkeypatch, capsys):
    """What a command prints to stdout, and into a log, line by line."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)

    def tell(*arguments):
        assert run([*arguments]) == 0
        out, errors = capsys.readouterr()
        return out, errors.splitlines()

    return tell


def on_a_terminal(folder, *arguments):
    """Return what a process prints to stdout, and what a terminal of 160 columns gets on stderr."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "160"}
    environment.pop("NO_COLOR", None)
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, *arguments], cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=theirs
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            piece = os.read(ours, 4096)
        except OSError:
            break
        if not piece:
            break
        shown += piece
    os.close(ours)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return out.decode(), re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())


def test_a_terminal_gets_a_bar(folder):
    out, shown = on_a_terminal(folder, "run", "mean.merge", "--memory", "900MB")
    bar = r"merging [━╸╺ ]+ *[\d.]+/[\d.]+ .?B +([\d.]+ [kMG]?B/s|\?) +[-\d]:[-\d]+:[-\d]+ [\d.]+ MB of 900 MB (\S*)"
    bars = [found for line in re.split(r"[\r\n]+", shown) if (found := re.search(bar, line))]
    assert bars
    assert bars[-1][2].startswith(("model.", "lm_head"))
    assert re.match(r"out: (compiled in .* s, )?read .* in .* s, peak memory .*planned", out)
    assert "before" not in out


def test_a_log_gets_lines_and_a_summary(told):
    _, lines = told("run", "mean.merge", "--memory", "900MB")
    line = r"[\d.]+ k?B of 136 KB, [\d.]+ [kMG]?B/s, \d+ s left, memory [\d.]+ [MG]B of 900 MB, \S+"
    assert lines
    assert all(re.fullmatch(line, found, re.IGNORECASE) for found in lines)
    out, lines = told("verify", "out")
    assert out.startswith("out: complete, all checksums agree (21 tensors in 1 file, ")
    assert re.fullmatch(r"47\.9 KB of 50 KB, .*B/s, 0 s left, memory [\d.]+ [MG]B, model.norm.weight", lines[-1])


def test_an_extraction_shows_how_far_it_is(folder, told):
    command = ("extract-lora", "a", "--base", "b", "--rank", "4", "-o", "adapter")
    out, shown = on_a_terminal(folder, *command)
    assert re.search(r"extracting [━╸╺ ]+ *[\d.]+/[\d.]+ .?B .* base_model\.", shown)
    assert out.startswith("adapter: ")
    _, lines = told(*command, "--overwrite")
    found = re.fullmatch(
        r"([\d.]+ .?B) of ([\d.]+ .?B), .*/s, 0 s left, memory [\d.]+ .?B of [\d.]+ .?B, base_model\..*", lines[-1]
    )
    assert found, lines[-1]
    assert found[1] == found[2]


def test_a_resumed_run_tells_what_was_done_before(folder, told):
    """The first run is killed when it has finished a tensor; the second counts from there on, and says so."""
    kill = """
import os
from mergegraph.write import directory
record = directory.OutputDirectory.record
def recorded(self, digests):
    record(self, digests)
    self.flush()
    if len(self.done) >= 4:
        os._exit(9)
directory.OutputDirectory.record = recorded
"""
    words = ("run", "mean.merge", "--workers", "1", "--memory", "900MB")
    killed = subprocess.run([sys.executable, "-c", kill + CHILD, *words], cwd=folder, capture_output=True, text=True)
    assert killed.returncode == 9, killed.stderr
    out, lines = told(*words, "--resume")
    assert out.endswith("; 4 of 21 units were done before\n")
    found = [
        re.match(r"([\d.]+) k?B of 136 KB \(([\d.]+) KB were done before\), .*", line, re.IGNORECASE) for line in lines
    ]
    assert found
    assert all(match and float(match[1]) > float(match[2]) for match in found)
