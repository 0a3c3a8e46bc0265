"""The functions of the prelude, each parsed when it is first needed."""

from __future__ import annotations

import re
from functools import cache, partial

from mergegraph.prelude import prelude_texts
from mergegraph.recipe.scope import Definition, Scope
from mergegraph.syntax import nodes as s
from mergegraph.syntax.parse import parse

_HEAD = re.compile(r"^(?:#[^\n]*\n)*fn (\w+)", re.MULTILINE)
"""The head of a function, with the comment right above it."""

_VISIBLE = re.compile(r"[^\n]")


@cache
def prelude_functions() -> dict[str, Definition]:
    """Return the functions of the prelude by name."""
    found: dict[str, Definition] = {}
    for file, text in prelude_texts():
        heads = list(_HEAD.finditer(text))
        ends = (*(head.start() for head in heads[1:]), len(text))
        for head, end in zip(heads, ends, strict=True):
            parsed = partial(_parsed, file, text[:end], head.start())
            found[head[1]] = Definition(parsed, Scope(), "", builtin=True)
    return found


def _parsed(file: str, text: str, start: int) -> s.Function:
    """Return the function that begins at a place and ends with the text; its places are those in the file."""
    before, function = _VISIBLE.sub(" ", text[:start]), text[start:]
    (statement,) = parse(before + function, f"prelude/{file}").statements
    assert isinstance(statement, s.Function), f"{file} may hold functions only"
    return statement
