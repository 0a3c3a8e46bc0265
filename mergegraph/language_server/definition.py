"""Find where a name is defined: in the recipe, in what it imports, or in the prelude."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path

from mergegraph.diagnostics import Source, Span
from mergegraph.language_server.document import Document
from mergegraph.recipe.prelude import prelude_functions
from mergegraph.syntax import nodes as s
from mergegraph.syntax.tree import path_to


def definition(document: Document, offset: int) -> tuple[Path | None, Span] | None:
    """Return the file, None for the recipe itself, and the place in it where what stands at an offset is defined."""
    path = path_to(document.syntax, offset)
    part = path[-1]
    if isinstance(part, s.String) and len(path) > 1 and isinstance(path[-2], s.Import):
        return _file(document, part.value)
    if not isinstance(part, s.Name):
        return None
    parameter = next(
        (p for f in path if isinstance(f, s.Function) for p in f.parameters if p.name.name == part.name), None
    )
    if parameter is not None:
        return None, parameter.name.span
    known = document.definitions.get(part.name)
    if known is not None:
        file = known.span.source.name
        return (None if file == document.source.name else Path(file)), known.name.span
    return _in_prelude(part.name)


def _in_prelude(name: str) -> tuple[Path, Span] | None:
    known = prelude_functions().get(name)
    if known is None:
        return None
    place = known.syntax.name.span
    return Path(str(files("mergegraph.prelude") / place.source.name.removeprefix("prelude/"))), place


def _file(document: Document, name: str) -> tuple[Path, Span] | None:
    path = document.folder / os.path.expanduser(name)
    return (path, Span(Source(str(path), ""), 0, 0)) if path.is_file() else None
