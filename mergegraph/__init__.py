"""MergeGraph: a compiler for model merges."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

__version__ = "0.1.0"

_PLACES = {
    "Diagnostic": "diagnostics",
    "Expression": "api.expression",
    "Graph": "api.views",
    "MergeGraphError": "diagnostics",
    "Plan": "api.views",
    "Recipe": "api.recipe",
    "Result": "merge",
    "load": "api.recipe",
    "op": "own",
    "parse": "api.recipe",
    "save": "api.recipe",
    "select": "api.expression",
    "together": "api.recipe",
}
"""Where what is public lies, besides the functions of the language."""


def __getattr__(name: str) -> Any:
    """Load what is public when it is first asked for, so that importing the package stays cheap."""
    if name in _PLACES:
        return getattr(import_module(f"mergegraph.{_PLACES[name]}"), name)
    # `from mergegraph import module` asks here first, in the midst of loading what functions are made of.
    if not name.startswith("_") and find_spec(f"mergegraph.{name}") is None:
        found = _functions()
        if name in found:
            return found[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(["__version__", *_PLACES, *_functions()])


def _functions() -> dict[str, Any]:
    """Return the functions of the language by name."""
    found: dict[str, Any] = import_module("mergegraph.api.functions").functions()
    return found
