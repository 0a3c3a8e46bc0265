"""Decide where outputs go, and make the folders around them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath

from mergegraph.checkpoint.checkpoint import Checkpoint
from mergegraph.diagnostics import Diagnostic, Label, MergeGraphError, escape
from mergegraph.recipe.recipe import Save
from mergegraph.recipe.saves import clashes
from mergegraph.write.os import REAL
from mergegraph.write.refusals import refuse_existing


def output_paths(saves: tuple[Save, ...], out: Path | None) -> list[Path]:
    """Return where each save goes. MergeGraphError for outputs in one place, one in another, or outside of `out`."""
    if out is not None and len(saves) == 1:
        return [out]
    if out is not None:
        _refuse_outside(saves)
        found = [out / save.path for save in saves]
    else:
        found = [Path(save.path).expanduser() for save in saves]
    errors = clashes(saves, [Path(os.path.realpath(path)) for path in found])
    if errors:
        raise MergeGraphError(*errors)
    return found


def _refuse_outside(saves: tuple[Save, ...]) -> None:
    for save in saves:
        path = PurePosixPath(os.path.normpath(save.path))
        if path.is_absolute() or path.parts[:1] in (("..",), ("~",)):
            message = f"the path `{escape(save.path)}` can't be put under another folder"
            help = ("leave out OUT, or make the path one inside OUT",)
            raise MergeGraphError(Diagnostic("MG642", message, (Label(save.span),), help, status=2))


@contextmanager
def at_save(save: Save, out: Path | None) -> Iterator[None]:
    """Show errors of an output where the recipe says where it goes, unless OUT does."""
    try:
        yield
    except MergeGraphError as error:
        place = () if out is not None else (Label(save.span),)
        raise MergeGraphError(*(replace(d, labels=d.labels or place) for d in error.diagnostics)) from None


def refuse_targets(saves: Iterable[Save], targets: Iterable[Path], out: Path | None, *, overwrite: bool) -> None:
    """Refuse what could not be written before models are read to find out what to write."""
    for save, target in zip(saves, targets, strict=True):
        with at_save(save, out):
            refuse_existing(REAL, target, overwrite=overwrite)


def make_parents(targets: list[Path], checkpoints: list[Checkpoint]) -> list[Path]:
    """Make the folders that outputs go into, unless they would lie inside an input: that is refused later.

    Return those that were not there, the outermost first.
    """
    inputs = [Path(os.path.realpath(path)) for path in input_paths(checkpoints)]
    made: list[Path] = []
    for target in targets:
        parent = Path(os.path.realpath(target)).parent
        if any(parent.is_relative_to(path) for path in inputs):
            continue
        new = [folder for folder in (parent, *parent.parents) if not os.path.lexists(folder)]
        made += reversed(new)
        try:
            parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            remove_empty(made)
            reason = "a file is in its place" if isinstance(error, FileExistsError) else error.strerror
            message = f"the folder for the output can't be made: {reason}"
            raise MergeGraphError(Diagnostic("MG641", message, place=str(parent))) from None
    return made


def remove_empty(folders: list[Path]) -> None:
    """Remove folders in which nothing is, inner ones first: where a run has left nothing, they are not left either."""
    for folder in reversed(folders):
        with suppress(OSError):
            folder.rmdir()


def input_paths(checkpoints: list[Checkpoint]) -> list[Path]:
    return [
        path
        for checkpoint in checkpoints
        for path in ([checkpoint.root] if checkpoint.root else [header.path for header in checkpoint.files])
    ]
