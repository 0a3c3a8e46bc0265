"""Spell values as the language does."""

from __future__ import annotations

import math
from typing import Any

from mergegraph.ir.node import Attribute
from mergegraph.syntax.strings import quote


def spell_number(value: float) -> str:
    """Return the shortest text that means a number: `1`, `0.5`, `1e-08`."""
    return repr(value).removesuffix(".0")


def spell(value: Attribute) -> str:
    """Return an attribute as it is written in a recipe."""
    match value:
        case None | bool():
            return {None: "none", True: "true", False: "false"}[value]
        case str():
            return quote(value)
        case tuple():
            return f"[{', '.join(map(spell, value))}]"
        case _:
            return spell_number(value)


def plain(value: Attribute) -> Any:
    """Return an attribute as JSON can hold it; numbers that are not finite become strings."""
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    return value if not isinstance(value, float) or math.isfinite(value) else repr(value)


def counted(count: int, noun: str) -> str:
    """Return a count with its noun: `1 tensor`, `1,200 tensors`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
