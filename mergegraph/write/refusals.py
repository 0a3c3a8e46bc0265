"""Refuse an output that can't be written, or whose writing would destroy something, before any work is done."""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Iterable
from pathlib import Path

from mergegraph.diagnostics import Diagnostic, MergeGraphError, escape
from mergegraph.write.os import Os

MANIFEST_NAME = "mergegraph.json"


def refuse_place(os_: Os, target: Path, inputs: Iterable[Path]) -> None:
    """Raise MG609 for a path without a name, MG606 for an overlap with an input, MG604 for a missing parent."""
    if target.name in ("", ".."):
        raise _error("MG609", "an output needs a name of its own", target, "name a folder that does not exist yet")
    for given in inputs:
        _refuse_overlap(target, given)
    _refuse_parent(os_, target)


def _refuse_parent(os_: Os, target: Path) -> None:
    parent = Path(os.path.realpath(target.parent))
    try:
        is_directory = stat.S_ISDIR(os_.lstat(parent).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        is_directory = False
    if not is_directory:
        message = f"there is no folder `{escape(str(target.parent))}` to put the output in"
        raise _error("MG604", message, target, f"create it: mkdir -p {escape(shlex.quote(str(target.parent)))}")


def _refuse_overlap(target: Path, given: Path) -> None:
    out = Path(os.path.realpath(target.parent)) / target.name
    for source in {Path(os.path.abspath(given)), Path(os.path.realpath(given))}:
        for place in (out, Path(os.path.realpath(out))):
            relation = _relation(place, source)
            if relation:
                message = f"the output {relation} the input `{escape(str(given))}`; inputs are never written"
                raise _error("MG606", message, target, "choose an output outside all inputs")


def _relation(out: Path, source: Path) -> str | None:
    if out == source:
        return "is"
    if source in out.parents:
        return "lies inside"
    return "contains" if out in source.parents else None


def refuse_existing(os_: Os, target: Path, *, overwrite: bool) -> bool:
    """Return whether there is a directory to be replaced.

    Raise MG601 for one that must not be, MG602 for a file in its place, MG603 for one that holds no model.
    """
    try:
        mode = os_.lstat(target).st_mode
    except FileNotFoundError:
        return False
    if not stat.S_ISDIR(mode):
        message = f"`{escape(target.name)}` exists and is not a folder"
        raise _error("MG602", message, target, "remove it, or choose another output")
    replaceable = _replaceable(os_.listdir(target))
    if not overwrite:
        message = f"`{escape(target.name)}` exists already"
        help = "replace it with `--overwrite`, or choose another output"
        other = "choose another output: `--overwrite` replaces models, and this folder is none"
        raise _error("MG601", message, target, help if replaceable else other)
    if not replaceable:
        message = f"`{escape(target.name)}` is not a model directory, so `--overwrite` does not replace it"
        raise _error("MG603", message, target, "remove it yourself, or choose another output")
    return True


def _replaceable(names: list[str]) -> bool:
    return not names or any(name == MANIFEST_NAME or name.endswith(".safetensors") for name in names)


def _error(code: str, message: str, target: Path, help: str) -> MergeGraphError:
    return MergeGraphError(Diagnostic(code, message, place=str(target), help=(help,)))
