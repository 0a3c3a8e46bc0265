"""Explain what stands at a place: the definition of a name, what a model holds, what a glob matches."""

from __future__ import annotations

from mergegraph.diagnostics import Span
from mergegraph.language_server import tensors
from mergegraph.language_server.document import Document, model_source
from mergegraph.language_server.functions import functions
from mergegraph.syntax import nodes as s
from mergegraph.syntax.tree import path_to


def hover(document: Document, offset: int) -> tuple[str, Span] | None:
    """Return what there is to say of a place, as Markdown, and what it is about; None where there is nothing."""
    path = path_to(document.syntax, offset)
    part, outer = path[-1], path[-2] if len(path) > 1 else None
    text = _said(document, part, outer)
    return (text, part.span) if text else None


def _said(document: Document, part: object, outer: object) -> str:
    match part, outer:
        case s.String(), s.Case():
            return tensors.matching(document, part.value)
        case s.String(), s.Argument():
            checkpoint = document.models.get(part.value)
            return tensors.described(checkpoint) if checkpoint else ""
        case s.Name(), s.Argument(name=name) if name is part:
            return f"parameter `{part.name}`"
        case s.Name(), _:
            return _name(document, part.name, called=isinstance(outer, s.Call))
        case s.LayerRange(), _:
            return _layers(part)
    return ""


def _name(document: Document, name: str, *, called: bool) -> str:
    definition = document.definitions.get(name)
    if isinstance(definition, s.Binding) and not called:
        return "\n\n".join([_code(definition.span.text), *_value(document, name, definition)])
    known = functions(document).get(name)
    return _code(known.text) if known else ""


def _value(document: Document, name: str, binding: s.Binding) -> list[str]:
    """Return what is known of a bound value: of a model what it holds, of anything else its type."""
    checkpoint = document.models.get(model_source(binding.value) or "")
    if checkpoint:
        return [tensors.described(checkpoint)]
    recipe = document.recipe
    node = next((node for node, called in recipe.names.items() if called == name), None) if recipe else None
    return [f"a {node.type}"] if node else []


def _layers(part: s.LayerRange) -> str:
    first, last = int(part.start.value), int(part.stop.value) - 1
    return f"layers {first} to {last}: {last - first + 1} of them"


def _code(text: str) -> str:
    return f"```mergegraph\n{text}\n```"
