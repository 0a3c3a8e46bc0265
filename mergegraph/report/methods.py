"""Describe what can be called in a recipe, from the declarations alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from inspect import getclosurevars
from types import FunctionType
from typing import Any

from mergegraph.diagnostics import Diagnostic, MergeGraphError, did_you_mean, escape
from mergegraph.ops import OPS, Op, Parameter
from mergegraph.recipe.evaluate import OPERATORS
from mergegraph.recipe.prelude import prelude_functions
from mergegraph.recipe.scope import Definition
from mergegraph.syntax import nodes as s

LOCALITIES = {
    "pointwise": "any tile",
    "scan": "any tile, in order",
    "rowwise": "tiles of whole rows",
    "reduction": "a pass over the tiles, then pointwise",
    "whole": "the whole tensor",
    "model": "a pass over all tensors",
    "layout": "moves bytes only",
}
_PAPER = re.compile(r"\s*arXiv:(\d{4}\.\d{5})")


@dataclass(frozen=True, slots=True)
class Entry:
    """A function of the language: `kind` is `method` (of the prelude) or `operation`.

    `text` is what stands below the summary. `uses` are the operations it is made of, none for a primitive one;
    `definition` is its text in the language, and empty for an operation.
    """

    name: str
    kind: str
    signature: str
    summary: str
    text: str
    formula: str
    paper: str
    uses: tuple[str, ...]
    definition: str
    locality: str


def catalogue() -> Sequence[Entry]:
    """Return every method and every operation that a recipe can call, methods first, by name."""
    methods = [_method(d) for name, d in sorted(prelude_functions().items()) if not name.startswith("_")]
    return [*methods, *(_operation(op) for _, op in sorted(OPS.items()) if not op.internal)]


def describe_method(name: str) -> str:
    """Return all that is known of a function. MergeGraphError (MG204) if there is none of that name."""
    entries = {entry.name: entry for entry in reversed(catalogue())}
    if name in entries:
        return "\n".join(_lines(entries[name]))
    help = (*did_you_mean(name, entries), "`mergegraph methods` lists them all")
    raise MergeGraphError(Diagnostic("MG204", f"no function is named `{escape(name)}`", help=help))


def methods_page() -> str:
    """Return the reference of all methods and operations in Markdown."""
    return "\n".join(_page()) + "\n"


def _lines(entry: Entry) -> Iterator[str]:
    yield f"{entry.kind} {entry.name}{entry.signature}"
    yield ""
    yield entry.summary
    yield from entry.text.splitlines()
    yield ""
    for title, value in _facts(entry):
        yield f"{title:<11}{value}"
    if entry.definition:
        yield ""
        yield entry.definition


def _facts(entry: Entry) -> Iterator[tuple[str, str]]:
    if entry.formula:
        yield "formula", entry.formula
    if entry.paper:
        yield "paper", f"arXiv:{entry.paper}"
    if entry.uses:
        yield "made of", ", ".join(entry.uses)
    if entry.locality:
        yield "needs", LOCALITIES[entry.locality]


def _page() -> Iterator[str]:
    entries = catalogue()
    yield "# Methods and operations"
    yield ""
    yield "<!-- Made from the declarations by `make fixtures`; do not edit. -->"
    yield ""
    yield "`mergegraph methods NAME` prints the same. `*models` takes any number of models. A number may be a list"
    yield "with one for each model, a `ramp` over layers, or a `select` by tensor name."
    for kind, title in (("method", "Methods"), ("operation", "Operations")):
        yield ""
        yield f"## {title}"
        for entry in (e for e in entries if e.kind == kind):
            yield from _section(entry)


def _section(entry: Entry) -> Iterator[str]:
    yield ""
    yield f"### {entry.name}"
    yield ""
    yield f"`{entry.name}{entry.signature}`"
    yield ""
    yield entry.summary
    yield from entry.text.splitlines()
    yield ""
    for name, value in _facts(entry):
        link = f"[{value}](https://arxiv.org/abs/{entry.paper})"
        yield f"- {name}: {link if name == 'paper' else f'`{value}`' if name == 'formula' else value}"
    if entry.definition:
        yield ""
        yield "```"
        yield entry.definition
        yield "```"


def _method(definition: Definition) -> Entry:
    function = definition.syntax
    first = function.parameters[0].span.source
    parameters = first.text[function.parameters[0].span.start : function.parameters[-1].span.end]
    texts, formula = [], ""
    for line in function.comment.splitlines():
        if line.startswith("Formula: "):
            formula = line.removeprefix("Formula: ")
        else:
            texts.append(line)
    paper = _PAPER.search(function.comment)
    whole = _PAPER.sub("", "\n".join(texts))
    functions = list(_helpers(definition))
    uses = dict.fromkeys(name for f in functions for name in _calls(f.syntax.body) if name in OPS)
    summary, _, text = whole.partition("\n")
    return Entry(
        function.name.name,
        "method",
        f"({parameters})",
        summary,
        text,
        formula,
        paper.group(1) if paper else "",
        tuple(uses),
        "\n".join(f.syntax.span.text for f in functions if f is definition or f.syntax.name.name.startswith("_")),
        "",
    )


def _helpers(definition: Definition) -> Iterator[Definition]:
    """Yield a function of the prelude and those that it is made of."""
    found: dict[str, Definition] = {}
    stack = [definition]
    while stack:
        function = stack.pop(0)
        if function.syntax.name.name not in found:
            found[function.syntax.name.name] = function
            stack.extend(f for name, f in prelude_functions().items() if name in _calls(function.syntax.body))
    yield from found.values()


def _calls(expression: s.Expression) -> Iterable[str]:
    """Return the functions and operators of an expression, in the order of the text."""
    match expression:
        case s.Call(function=function, arguments=arguments):
            return [function.name, *(name for a in arguments for name in _calls(a.value))]
        case s.Binary(operator=operator, left=left, right=right):
            return [*_calls(left), OPERATORS[operator], *_calls(right)]
        case s.Negative(value=value):
            return ["negate", *_calls(value)]
        case s.List(items=items):
            return [name for item in items for name in _calls(item)]
        case _:
            return []


def _operation(op: Op[Any]) -> Entry:
    summary, _, text = op.doc.partition("\n")
    uses = () if op.primitive else tuple(dict.fromkeys(_made_of(op.definition)))
    signature = f"({', '.join(_spelled(op.parameters))}) -> {op.returns}"
    return Entry(op.name, "operation", signature, summary, text.rstrip(), "", op.paper, uses, "", op.locality.value)


def _made_of(definition: Callable[..., Any]) -> Iterator[str]:
    """Yield the operations that the body of a definition speaks of, and those in the helpers it calls."""
    for name, value in getclosurevars(definition).globals.items():
        if isinstance(value, Op):
            yield value.name
        elif isinstance(value, FunctionType) and value.__module__.startswith("mergegraph.ops.") and name != "spread":
            yield from _made_of(value)


def _spelled(parameters: Sequence[Parameter]) -> Iterator[str]:
    for parameter in parameters:
        if parameter.kind != "Key":
            star = "*" if parameter.many and parameter.required else ""
            default = "" if parameter.required else f" = {_value(parameter.default)}"
            yield f"{star}{parameter.name}: {_kind(parameter)}{default}"


def _kind(parameter: Parameter) -> str:
    """Return what a parameter takes: the kind of an input, or the values of a setting."""
    if parameter.is_input:
        return parameter.kind + "s" * parameter.many
    words = [word for word in parameter.annotation.split(" | ") if "Literal" not in word]
    plain = [{"None": "none"}.get(word, word) for word in words if word.isidentifier()]
    return " | ".join([*map(_value, parameter.choices), *plain]) or parameter.annotation


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
        case (only,):
            return _value(only)
        case _:
            return str(value)
