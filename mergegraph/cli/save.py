"""Write the files that people ask for with `-o`, and recipes that are formatted."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from mergegraph.diagnostics import Diagnostic, MergeGraphError

RECIPES = (".merge", ".yaml", ".yml")


def save_report(path: Path, report: str | bytes) -> None:
    """Write a report, a text or an image; a report of that name is replaced.

    Raise MG643 where it would replace a recipe, MG683 where it would lie among the weights of a model, MG644 where it
    can't be written.
    """
    refuse_report(path)
    _save(path, report.encode("utf-8") if isinstance(report, str) else report)


def refuse_report(path: Path) -> None:
    """Raise MG643 or MG683 where a report must not be written; see `save_report`."""
    if path.suffix in RECIPES:
        message = f"a report is not written to a file ending {path.suffix}, which is a recipe"
        raise MergeGraphError(Diagnostic("MG643", message, place=str(path), help=("choose another name",)))
    if any(path.parent.glob("*.safetensors")):
        message = "a report is not written into the folder of a model"
        raise MergeGraphError(Diagnostic("MG683", message, place=str(path), help=("choose another folder",)))


def replace_text(path: Path, text: str) -> None:
    """Write a text file so that it holds the old text or all of the new one, whatever happens. Raise MG644."""
    _save(path, text.encode("utf-8"))


def _save(path: Path, data: bytes) -> None:
    try:
        _write(path, data)
    except OSError as error:
        message = f"the file can't be written: {error.strerror}"
        raise MergeGraphError(Diagnostic("MG644", message, place=str(path))) from None


def _write(path: Path, data: bytes) -> None:
    if path.exists() and not path.is_file():
        # Pipes and devices, such as /dev/stdout, can't be replaced.
        path.write_bytes(data)
    else:
        _replace(Path(os.path.realpath(path)), data)


def _replace(path: Path, data: bytes) -> None:
    mode = path.stat().st_mode & 0o7777 if path.exists() else 0o666 & ~_umask()
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name[:100]}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        os.replace(name, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
