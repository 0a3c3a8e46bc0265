"""Find the grammar files: in the installed package, or beside it in the source tree."""

from __future__ import annotations

from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path


@cache
def grammar_text(name: str) -> str:
    """Return the text of `grammar/<name>`. FileNotFoundError if neither place has it."""
    for place in _places():
        file = place.joinpath(name)
        if file.is_file():
            return file.read_text(encoding="utf-8")
    raise FileNotFoundError(f"no grammar file is named {name}")


def _places() -> tuple[Traversable, ...]:
    package = resources.files("mergegraph")
    return package.joinpath("grammar"), Path(str(package)).parent / "grammar"
