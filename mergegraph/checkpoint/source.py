"""Find what a recipe means by a model's name: a path, a folder in an installed package, or a model of the Hub."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from mergegraph.checkpoint.faults import fault, quoted
from mergegraph.checkpoint.hub import Repository, resolve
from mergegraph.diagnostics import MergeGraphError, did_you_mean, suggest

PYTHON = "python:"

_REPOSITORY = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,95}/)?[A-Za-z0-9][A-Za-z0-9._-]{0,95}")


@dataclass(frozen=True, slots=True)
class Location:
    """Where a source is, or for a model of the Hub, the `repository`, will be on this machine."""

    path: Path
    repository: Repository | None = None


def locate(source: str, relative_to: Path, revision: str | None) -> Location:
    """Return where `source` is.

    1. `python:package/folder` is a folder in an installed package, which is not imported.
    2. What begins with `.`, `/` or `~`, or exists under `relative_to`, is a path.
    3. `organisation/name`, or a `name` alone such as `gpt2`, is a model of the Hub.

    Raises MG501 when a path leads nowhere, MG523 when a source is none of these, MG524 and MG525 for packages, MG526
    for a revision of something that has none, and as `hub.resolve`.
    """
    if not source or "\0" in source:
        raise _not_understood(source)
    if is_local(source, relative_to) and revision is not None:
        raise fault("MG526", f"{quoted(source)} has no revisions, as it is not on the Hub", source, "remove `revision`")
    if source.startswith(PYTHON):
        return Location(_in_package(source))
    if is_local(source, relative_to):
        return Location(_existing(source, relative_to))
    if not _REPOSITORY.fullmatch(source):
        raise _not_understood(source)
    repository = _on_hub(source, relative_to, revision)
    return Location(repository.folder, repository)


def is_local(source: str, relative_to: Path) -> bool:
    """Tell whether `source` is found without asking the Hub."""
    return source.startswith((PYTHON, ".", "/", "~")) or os.path.lexists(relative_to / source)


def _on_hub(source: str, relative_to: Path, revision: str | None) -> Repository:
    try:
        return resolve(source, revision)
    except MergeGraphError as error:
        if "/" in source:
            raise
        # A word alone is more often a folder that is misspelt or elsewhere than a model of the Hub.
        folder = f"there is no folder {quoted(source)} here either"
        help = (folder, *did_you_mean(source, _folders(relative_to)))
        raise MergeGraphError(*(replace(d, help=(*help, *d.help)) for d in error.diagnostics)) from error


def _folders(place: Path) -> list[str]:
    try:
        return [entry.name for entry in os.scandir(place) if entry.is_dir()]
    except OSError:
        return []


def _existing(source: str, relative_to: Path) -> Path:
    path = relative_to / os.path.expanduser(source)
    if not os.path.lexists(path):
        raise fault(
            "MG501", f"there is no model at {quoted(source)}: nothing has this path", path, *_nearby(source, path)
        )
    return path


def _nearby(source: str, path: Path) -> tuple[str, ...]:
    """Return the help lines of a path that leads nowhere: what lies beside it under a similar name."""
    try:
        names = [entry.name for entry in os.scandir(path.parent) if not entry.name.startswith(".")]
    except OSError:
        return ("paths of models begin at the recipe's folder",)
    meant = suggest(path.name, names)
    if meant is None:
        return ("paths of models begin at the recipe's folder",)
    return (f"did you mean {quoted(source.rstrip('/').removesuffix(path.name) + meant)}?",)


def _in_package(source: str) -> Path:
    package, _, folder = source.removeprefix(PYTHON).partition("/")
    module = package.replace("-", "_")
    if not module.isidentifier() or not folder or not set(folder.split("/")).isdisjoint({"", ".", ".."}):
        raise fault("MG523", f"{quoted(source)} is not of the form `python:package/folder`", source)
    roots = _package_folders(module)
    if not roots:
        help = f"install it: `pip install {package}`"
        raise fault("MG524", f"the package {quoted(package)} is not installed", source, help)
    found = next((root / folder for root in roots if os.path.lexists(root / folder)), None)
    if found is None:
        near = did_you_mean(folder, [name for root in roots for name in _folders(root)])
        usual = "correct the folder, or install a version that has it"
        raise fault("MG525", f"the package {quoted(package)} has no {quoted(folder)}", roots[0], *(near or (usual,)))
    return found


def _package_folders(module: str) -> list[Path]:
    """Return the folders of an installed package; none when there is no such package, or it is a single file."""
    try:
        spec = find_spec(module)
    except (ImportError, ValueError):
        return []
    return [Path(root) for root in (spec and spec.submodule_search_locations) or ()]


def _not_understood(source: str) -> MergeGraphError:
    return fault(
        "MG523",
        f"there is no model at {quoted(source)}",
        source,
        "write a path (`./folder`), a model of the Hub (`organisation/name`) or `python:package/folder`",
    )
