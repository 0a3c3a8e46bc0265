"""Know the functions that a recipe can call: those of the prelude, the operations, and its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from mergegraph.language_server.document import Document
from mergegraph.ops import OPS
from mergegraph.recipe.prelude import prelude_functions
from mergegraph.report.methods import catalogue, describe_method
from mergegraph.syntax import nodes as s


@dataclass(frozen=True, slots=True)
class Function:
    """A function: its parameters in order, with the values that settings may have; `text` is what there is to know."""

    name: str
    parameters: tuple[str, ...]
    choices: Mapping[str, tuple[str, ...]]
    summary: str
    text: str


def functions(document: Document) -> dict[str, Function]:
    """Return every function by name; one of the recipe replaces one of the prelude."""
    own = (d for d in document.definitions.values() if isinstance(d, s.Function))
    return {**_shipped(), **{function.name.name: _own(function) for function in own}}


@cache
def _shipped() -> dict[str, Function]:
    found = {}
    prelude = prelude_functions()
    for entry in catalogue():
        if entry.name in prelude:
            names = tuple(p.name.name for p in prelude[entry.name].syntax.parameters)
            choices: dict[str, tuple[str, ...]] = {}
        else:
            visible = [p for p in OPS[entry.name].parameters if p.kind != "Key"]
            names = tuple(p.name for p in visible)
            choices = {p.name: p.choices for p in visible if p.choices}
        found[entry.name] = Function(entry.name, names, choices, entry.summary, describe_method(entry.name))
    return found


def _own(function: s.Function) -> Function:
    names = tuple(p.name.name for p in function.parameters)
    text = "".join(f"# {line}\n" for line in function.comment.splitlines()) + function.span.text
    return Function(function.name.name, names, {}, function.comment.partition("\n")[0], text)
