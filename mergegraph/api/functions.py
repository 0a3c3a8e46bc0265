"""Every function of the language as a function of Python."""

from __future__ import annotations

import keyword
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from inspect import Parameter, Signature

from mergegraph.api.expression import Expression, Operand, call
from mergegraph.ops import OPS
from mergegraph.recipe.apply import slots
from mergegraph.recipe.arguments import Slot
from mergegraph.recipe.evaluate import SPECIAL
from mergegraph.recipe.prelude import prelude_functions
from mergegraph.recipe.vocabulary import SLOTS
from mergegraph.report.methods import catalogue

WIDTH = 120
"""The longest line of a declaration."""


@cache
def functions() -> dict[str, Callable[..., Expression]]:
    """Return a function for each method and operation of the language, by name."""
    described = {entry.name: (entry.summary, entry.text, entry.definition) for entry in catalogue()}
    return {name: _function(name, described.get(name, ())) for name in _names()}


def declarations() -> str:
    """Return the declarations of all functions, as a stub file has them."""
    return "".join(f"{_declaration(name)}\n" for name in _names())


def _names() -> list[str]:
    return sorted({*(entry.name for entry in catalogue()), *SLOTS})


def _function(name: str, description: Sequence[str]) -> Callable[..., Expression]:
    def function(*arguments: Operand, **named: Operand) -> Expression:
        return call(name, arguments, named)

    function.__name__ = function.__qualname__ = name
    function.__module__ = "mergegraph"
    function.__doc__ = "\n\n".join(filter(None, description))
    function.__signature__ = Signature([*_parameters(_slots(name))])  # type: ignore[attr-defined]
    return function


def _slots(name: str) -> Sequence[Slot]:
    """Return the parameters of a function: those of a method of the prelude, or else of the operation."""
    if name in SPECIAL or name in SLOTS:
        return SPECIAL.get(name) or SLOTS[name]
    if name in prelude_functions():
        found = prelude_functions()[name].syntax.parameters
        return [Slot(p.name.name, p.default is None and not p.variadic, p.variadic) for p in found]
    return slots(OPS[name])


def _parameters(found: Sequence[Slot]) -> Iterator[Parameter]:
    """Yield parameters in the order that Python wants: the gathering one, then those that are named."""
    gathers = any(slot.gathers for slot in found)
    for slot in sorted(found, key=lambda slot: (not slot.gathers, slot.named)):
        name = f"{slot.name}_" if keyword.iskeyword(slot.name) else slot.name
        if slot.gathers:
            yield Parameter(name, Parameter.VAR_POSITIONAL)
        else:
            kind = Parameter.KEYWORD_ONLY if gathers or slot.named else Parameter.POSITIONAL_OR_KEYWORD
            yield Parameter(name, kind, default=Parameter.empty if slot.required else ...)


def _declaration(name: str) -> str:
    parts: list[str] = []
    for parameter in _parameters(_slots(name)):
        star = "*" if parameter.kind is Parameter.VAR_POSITIONAL else ""
        if parameter.kind is Parameter.KEYWORD_ONLY and not any(part.startswith("*") for part in parts):
            parts.append("*")
        default = "" if parameter.default is Parameter.empty else " = ..."
        parts.append(f"{star}{parameter.name}: Operand{default}")
    line = f"def {name}({', '.join(parts)}) -> Expression: ..."
    if len(line) <= WIDTH:
        return line
    return "\n".join([f"def {name}(", *(f"    {part}," for part in parts), ") -> Expression: ..."])
