"""The methods users know, written in the language itself: `*.merge` files in this folder."""

from functools import cache
from importlib.resources import files


@cache
def prelude_texts() -> tuple[tuple[str, str], ...]:
    """Return name and text of every file of the prelude, in a fixed order."""
    folder = files(__name__)
    found = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".merge"))
    return tuple((name, (folder / name).read_text("utf-8")) for name in found)
