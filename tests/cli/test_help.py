"""What `--help` says in a terminal of 80 columns, and what bash completes."""

import os
import re
import shlex
import subprocess
import sys
from importlib import import_module
from pkgutil import iter_modules

import pytest

import mergegraph.cli
from mergegraph.cli.app import run

MODULES = [import_module(f"mergegraph.cli.{found.name}") for found in iter_modules(mergegraph.cli.__path__)]
COMMANDS = {module.command.name: module.command for module in MODULES if hasattr(module, "command")}

BASH = """
eval "$(_MERGEGRAPH_COMPLETE=bash_source mergegraph)"
complete -p mergegraph > /dev/null || exit
COMP_WORDS=(mergegraph ex) COMP_CWORD=1
_mergegraph_completion mergegraph
echo "${COMPREPLY[@]}"
COMPREPLY=()
COMP_WORDS=(mergegraph run --mem) COMP_CWORD=2
_mergegraph_completion mergegraph
echo "${COMPREPLY[@]}"
"""


def test_no_summary_is_cut(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert run(["--help"]) == 0
    text = capsys.readouterr().out
    listed = text.partition("Commands:\n")[2].splitlines()
    assert [line.split()[0] for line in listed] == sorted(COMMANDS)
    assert all(line.endswith(".") and not line.endswith("...") for line in listed)


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_has_examples_that_it_understands(command, capsys):
    assert run([command, "--help"]) == 0
    examples = re.findall(rf"^      mergegraph {command}\b([^\n>]*)", capsys.readouterr().out, re.MULTILINE)
    assert examples or command == "lsp"
    for example in examples:
        COMMANDS[command].make_context(command, shlex.split(example))


def test_bash_completes(tmp_path):
    program = tmp_path / "mergegraph"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m mergegraph "$@"\n')
    program.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(["bash", "-c", BASH], env={**os.environ, "PATH": path}, capture_output=True, text=True)
    assert done.stdout.splitlines() == ["explain extract-lora", "--memory"], done.stderr
