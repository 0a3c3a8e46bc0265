"""Keep to a model's folder: a link may stay inside it or lead into the cache that it belongs to, nowhere else."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from mergegraph.checkpoint.faults import fault
from mergegraph.checkpoint.files import unreadable
from mergegraph.checkpoint.hub import Repository


@dataclass(frozen=True, slots=True)
class Folder:
    """A directory of model files, and the real directories that its links may lead to.

    With a `repository` its files are those of a model on the Hub, which are downloaded to `path` when they are needed.
    """

    path: Path
    allowed: tuple[Path, ...]
    repository: Repository | None = None

    def has(self, relative: str) -> bool:
        """Tell whether something bears this name here, even a link that leads nowhere."""
        if self.repository is not None:
            return relative in self.repository.names
        return os.path.lexists(self.path / relative)

    def names(self, relative: str = "") -> list[str]:
        """Return the sorted names in the folder, or in one inside it. Raises MG503 and what `member` raises."""
        if self.repository is not None:
            return self.repository.inside(relative)
        path = self.member(relative)
        try:
            return sorted(os.listdir(path))
        except OSError as error:
            raise unreadable(path, error) from error

    def is_folder(self, name: str) -> bool:
        """Tell whether a name in the folder is that of another folder."""
        return bool(self.repository.inside(name)) if self.repository is not None else (self.path / name).is_dir()

    def weights_in(self, name: str) -> bool:
        """Tell whether a name in the folder is that of another folder with weights in it."""
        inside = self.repository.inside(name) if self.repository is not None else (self.path / name).glob("*")
        return any(str(path).endswith(".safetensors") for path in inside)

    def is_file(self, relative: Path) -> bool:
        """Tell whether there is a file of this name. Raises as `place`."""
        return self.repository is not None or self.place(relative).is_file()

    def member(self, relative: str | Path) -> Path:
        """Return the path of a file of this folder, downloaded if need be. Raises as `place`, and as `Repository`."""
        if self.repository is not None:
            self.repository.fetch(str(relative))
        return self.place(relative)

    def place(self, relative: str | Path) -> Path:
        """Return the path of a file of this folder; one on the Hub may not be there yet.

        Raises MG520 when it is a link that leaves the folder or goes in a circle, MG501 when it leads nowhere.
        """
        path = self.path / relative
        if self.repository is not None and not os.path.lexists(path):
            return path
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


def open_folder(path: Path, repository: Repository | None = None) -> Folder:
    """Return the folder at `path`, which may itself be a link.

    A snapshot of the Hub's cache (`models--org--name/snapshots/commit`) may link into its own `blobs`, and into those
    that all models of the cache share. Raises as `open_regular` when there is no such directory; that of a `repository`
    need not be there.
    """
    try:
        real = Path(os.path.realpath(path, strict=repository is None))
    except OSError as error:
        raise unreadable(path, error) from error
    return Folder(path, (real, *_blobs(real)), repository)


def _blobs(real: Path) -> tuple[Path, ...]:
    model = real.parent.parent
    cached = real.parent.name == "snapshots" and model.name.startswith("models--")
    return (model / "blobs", model.parent / "blobs") if cached else ()
