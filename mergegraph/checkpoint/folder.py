"""Keep to a model's folder: a link may stay inside it or lead into the cache that it belongs to, nowhere else."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from mergegraph.checkpoint.faults import fault
from mergegraph.checkpoint.files import unreadable


@dataclass(frozen=True, slots=True)
class Folder:
    """A directory of model files, and the real directories that its links may lead to."""

    path: Path
    allowed: tuple[Path, ...]

    def has(self, relative: str) -> bool:
        """Tell whether something bears this name here, even a link that leads nowhere."""
        return os.path.lexists(self.path / relative)

    def names(self, relative: str = "") -> list[str]:
        """Return the sorted names in the folder, or in one inside it. Raises MG503 and what `member` raises."""
        path = self.member(relative)
        try:
            return sorted(os.listdir(path))
        except OSError as error:
            raise unreadable(path, error) from error

    def member(self, relative: str | Path) -> Path:
        """Return the path of a file of this folder.

        Raises MG520 when it is a link that leaves the folder or goes in a circle, MG501 when it leads nowhere.
        """
        path = self.path / relative
        try:
            real = Path(os.path.realpath(path, strict=True))
        except OSError as error:
            raise unreadable(path, error) from error
        if not any(real.is_relative_to(root) for root in self.allowed):
            raise fault(
                "MG520",
                "this link leads out of the model's folder",
                path,
                "put the file itself there, or name the folder that the link leads to",
            )
        return path


def open_folder(path: Path) -> Folder:
    """Return the folder at `path`, which may itself be a link.

    A snapshot of the Hub's cache (`models--org--name/snapshots/commit`) may link into its own `blobs`.
    Raises as `open_regular` when there is no such directory.
    """
    try:
        real = Path(os.path.realpath(path, strict=True))
    except OSError as error:
        raise unreadable(path, error) from error
    return Folder(path, (real, *_blobs(real)))


def _blobs(real: Path) -> tuple[Path, ...]:
    repository = real.parent.parent
    cached = real.parent.name == "snapshots" and repository.name.startswith("models--")
    return (repository / "blobs",) if cached else ()
