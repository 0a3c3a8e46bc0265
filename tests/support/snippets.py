"""Run the pages of the documentation: write their files, run their commands, compare what is shown.

A fence with a title is a file. `console` holds commands after `$`, each followed by what it prints, with `…` for any
text; nothing after it: what it prints is not compared. `sh` holds commands that need what tests don't have; a comment
in the line before it says what that is.
"""

from __future__ import annotations

import io
import json
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from glob import glob
from pathlib import Path

import yaml

from mergegraph.cli.app import run
from mergegraph.ops import OPS
from mergegraph.syntax.parse import parse

ROOT = Path(__file__).parents[2]
FENCE = re.compile(
    r"^(?:<!-- not run: ([^\n]+) -->\n+)?```(\w*)(?: title=\"([^\"]+)\")?[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL
)
DECLARED = frozenset(OPS)
UNREAD = ("text", "lua", "ebnf")
"""Languages of fences that can't be run here: what is printed, what other programs read."""


@dataclass(frozen=True)
class Fence:
    """A block of code of a page, and why it is not run, if it isn't."""

    unrun: str
    language: str
    title: str
    text: str


def fences(page: Path) -> list[Fence]:
    """Return the blocks of code of a page, in order."""
    return [Fence(*found) for found in FENCE.findall(page.read_text(encoding="utf-8"))]


def run_page(page: Path, printed: Callable[[], str]) -> None:
    """Do in the current folder all that a page says; `printed` returns what was printed since it was last asked."""
    names: dict[str, object] = {"__name__": "__main__"}
    for fence in fences(page):
        if fence.title:
            Path(fence.title).parent.mkdir(parents=True, exist_ok=True)
            Path(fence.title).write_text(fence.text, encoding="utf-8")
        _run_fence(fence, printed, names)


def _run_fence(fence: Fence, printed: Callable[[], str], names: dict[str, object]) -> None:
    match fence.language:
        case "console":
            for command, shown in _commands(fence.text):
                printed()
                run_command(command, shown)
                _compare(shown, printed())
        case "sh":
            assert fence.unrun, f"commands that are not run, and nothing says why: {fence.text}"
            for line in fence.text.splitlines():
                _known(shlex.split(line))
        case "mergegraph" | "":
            parse(fence.text, fence.title or "snippet.merge")
        case "python" if not fence.title:
            exec(compile(fence.text, "snippet.py", "exec"), names)
        case "python":
            compile(fence.text, fence.title, "exec")
        case "yaml":
            list(yaml.safe_load_all(fence.text))
        case "toml":
            tomllib.loads(fence.text)
        case "json":
            json.loads(fence.text)
        case language:
            assert language in UNREAD, f"a fence has no language that is known: {fence}"


def _commands(text: str) -> Iterator[tuple[str, str]]:
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, shown = part.replace("\\\n", " ").partition("\n")
        yield command, shown


def run_command(command: str, shown: str) -> None:
    """Run a command in the current folder; it fails if an error is shown below it, and only then."""
    words = [found for word in shlex.split(command, comments=True) for found in _expanded(word, command)]
    into = words[words.index(">") + 1] if ">" in words else None
    words = words[: words.index(">")] if into else words
    match words:
        case ["mergegraph", *arguments] if into:
            with redirect_stdout(io.StringIO()) as written:
                assert run(arguments) == 0, command
            Path(into).write_text(written.getvalue(), encoding="utf-8")
        case ["mergegraph", *arguments]:
            for name in set(OPS) - DECLARED:
                del OPS[name]  # every command is a process of its own
            assert (run(arguments) == 0) == ("error[" not in shown), command
        case ["python", *arguments]:
            done = subprocess.run([sys.executable, *arguments], stdout=subprocess.PIPE, text=True, check=True)
            sys.stdout.write(done.stdout)
        case _:
            raise AssertionError(f"a page has a command that can't be tried: {command}")


def _expanded(word: str, command: str) -> list[str]:
    """Return what a shell makes of a word: the files that it matches, unless it is quoted or matches none."""
    return (sorted(glob(word)) if f" {word}" in command else []) or [word]


def _known(words: list[str]) -> None:
    """Assert of what pip is to install that the project declares it, and of a folder to go to that it is there."""
    match words:
        case ["cd", folder]:
            assert (ROOT / folder).is_dir(), folder
        case ["pip", "install", *wanted]:
            for word in wanted:
                _declared(word)


def _declared(word: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    dependencies = " ".join([*project["dependencies"], *(line for lines in extras.values() for line in lines)])
    for extra in re.findall(r"\[([\w,]+)\]", word):
        assert set(extra.split(",")) <= extras.keys(), word
    name = re.split(r"[\[<>]", word)[0]
    others = (".", "mergegraph", "-c", "constraints.txt", "--no-deps")
    assert name in others or name in dependencies or name in (ROOT / "Makefile").read_text(), word


def _compare(shown: str, printed: str) -> None:
    if not shown.strip():
        return
    # Whether a run compiles depends on the machine.
    printed = re.sub(r"\bcompiled in \d+\.\d s, ", "", printed)
    pattern = ".*".join(re.escape(part) for part in shown.rstrip().split("…"))
    assert re.fullmatch(pattern, printed.strip("\n").rstrip(), re.DOTALL), f"shown:\n{shown}\nprinted:\n{printed}"
