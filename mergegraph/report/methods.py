"""Describe what can be called in a recipe, from the declarations alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mergegraph.diagnostics import Diagnostic, MergeGraphError, did_you_mean, escape
from mergegraph.ops import OPS, Op, Parameter
from mergegraph.recipe.resolve import prelude_functions
from mergegraph.recipe.scope import Definition


@dataclass(frozen=True, slots=True)
class Entry:
    """A function of the language: `kind` is `method` (of the prelude) or `operation`."""

    name: str
    kind: str
    signature: str
    summary: str


def catalogue() -> Sequence[Entry]:
    """Return every method and every operation that a recipe can call, methods first, by name."""
    methods = [_method(d) for _, d in sorted(prelude_functions().items())]
    return [*methods, *(_operation(op) for _, op in sorted(OPS.items()) if not op.internal)]


def describe_method(name: str) -> str:
    """Return all that is known of a function. MergeGraphError (MG204) if there is none of that name."""
    found = prelude_functions().get(name)
    if found is not None:
        return _text(_method(found), found.syntax.comment, found.syntax.span.text)
    op = OPS.get(name)
    if op is not None and not op.internal:
        paper = f"\n\narXiv:{op.paper}" if op.paper else ""
        return _text(_operation(op), op.doc + paper, f"locality: {op.locality.value}")
    names = [entry.name for entry in catalogue()]
    help = (*did_you_mean(name, names), "`mergegraph methods` lists them all")
    raise MergeGraphError(Diagnostic("MG204", f"no function is named `{escape(name)}`", help=help))


def _text(entry: Entry, doc: str, rest: str) -> str:
    return f"{entry.kind} {entry.name}{entry.signature}\n\n{doc}\n\n{rest}"


def _method(definition: Definition) -> Entry:
    function = definition.syntax
    first = function.parameters[0].span.source
    text = first.text[function.parameters[0].span.start : function.parameters[-1].span.end]
    return Entry(function.name.name, "method", f"({text})", function.comment.partition("\n")[0])


def _operation(op: Op) -> Entry:  # type: ignore[type-arg]
    shown = ", ".join(_parameter(p) for p in op.parameters if p.kind != "Key")
    return Entry(op.name, "operation", f"({shown}) -> {op.returns}", op.doc.partition("\n")[0])


def _parameter(parameter: Parameter) -> str:
    star = "*" if parameter.many and parameter.required else ""
    if parameter.required:
        return f"{star}{parameter.name}"
    default = parameter.default[0] if isinstance(parameter.default, tuple) else parameter.default
    return f"{parameter.name}={_value(default)}"


def _value(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case None:
            return "none"
        case float():
            return f"{value:g}"
        case str():
            return f'"{value}"'
        case _:
            return str(value)
