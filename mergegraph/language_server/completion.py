"""Complete what is being typed: names, functions, parameters, options, globs of tensors, layers, paths."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

from mergegraph.diagnostics import Span
from mergegraph.language_server import tensors
from mergegraph.language_server.cursor import Cursor, cursor
from mergegraph.language_server.document import Document, model_source
from mergegraph.language_server.functions import functions
from mergegraph.recipe.saves import OPTIONS, OUTPUT_DTYPES
from mergegraph.syntax import nodes as s

STATEMENTS = ("save", "fn", "for", "seed", "import")
VALUES = ("select", "true", "false", "none")
MODELS = ("tokenizer", "config", "missing")
_RECEIVER = re.compile(r'(\w+)\s*\.\s*(layers(?:\("[^"]*"\))?\[?)?\s*\Z')
_NAMED = re.compile(r"(\w+)\s*=\s*\Z")


@dataclass(frozen=True, slots=True)
class Item:
    """A completion: `kind` is function, parameter, variable, keyword, value or file."""

    label: str
    kind: str
    detail: str = ""


def completions(document: Document, offset: int) -> tuple[Span, list[Item]]:
    """Return the word or string that is being typed before an offset, and what may stand in its place."""
    at = cursor(document.source.text, offset)
    typed = Span(document.source, offset - len(at.word if at.string is None else at.string), offset)
    if document.is_yaml or at.comment:
        return typed, []
    return typed, list(_in_string(document, at) if at.string is not None else _outside_strings(document, at))


def _in_string(document: Document, at: Cursor) -> Iterator[Item]:
    word = at.opened.word if at.opened else ""
    named = _NAMED.search(at.before)
    if at.opened and at.opened.bracket == "{" and word == "select" and not at.before.endswith(":"):
        for glob, count in tensors.globs(document).items():
            yield Item(glob, "value", f"{count} tensors" if count != 1 else "1 tensor")
    elif at.opened and word == "layers":
        yield from (Item(prefix, "value", f"{count} layers") for prefix, count in _stacks(document).items())
    elif named and named[1] == "dtype":
        yield from (Item(name, "value") for name in OUTPUT_DTYPES)
    elif named and named[1] in MODELS and at.opened is None:
        yield from (Item(name, "variable") for name in _checkpoints(document))
    elif named and at.opened and word in functions(document):
        yield from (Item(choice, "value") for choice in functions(document)[word].choices.get(named[1], ()))
    elif word == "model" or at.before.endswith("import"):
        yield from _paths(document, at.string or "")


def _outside_strings(document: Document, at: Cursor) -> Iterator[Item]:
    receiver = _RECEIVER.search(at.before)
    if receiver:
        yield from _layers(document, receiver[1])
        return
    if not at.before:
        yield from (Item(word, "keyword") for word in STATEMENTS)
        return
    words = re.sub(r'"[^"\n]*"', "", at.before).split()
    if "with" in words and words[0] in ("save", "for") and at.opened is None and at.before[-1] != "=":
        yield from (Item(f"{name}=", "parameter", "option of `save`") for name in OPTIONS)
        return
    known = functions(document)
    if at.opened and at.opened.bracket == "(" and at.opened.word in known and at.before[-1] in "(,":
        function = known[at.opened.word]
        given = set(re.findall(r"(\w+)\s*=(?!=)", at.opened.inside))
        for name in function.parameters:
            if name not in given:
                yield Item(f"{name}=", "parameter", f"of `{function.name}`")
    yield from _values(document)


def _values(document: Document) -> Iterator[Item]:
    for name, definition in document.definitions.items():
        if isinstance(definition, s.Binding):
            yield Item(name, "variable", definition.value.span.text.partition("\n")[0])
    yield from (Item(f.name, "function", f.summary) for f in functions(document).values())
    yield from (Item(word, "keyword") for word in VALUES)


def _layers(document: Document, name: str) -> Iterator[Item]:
    definition = document.definitions.get(name)
    source = (model_source(definition.value) if isinstance(definition, s.Binding) else None) or ""
    here = [document.models[source]] if source in document.models else document.models.values()
    stacks = [stack for checkpoint in here for stack in checkpoint.stacks]
    for stack in dict.fromkeys(stacks):
        several = len({stack.prefix for stack in stacks}) > 1
        which = f'layers("{stack.prefix}")' if several else "layers"
        yield Item(f"{which}[0..{stack.count}]", "value", f"all {stack.count} of `{stack.prefix}`")
    if not stacks:
        yield Item("layers[0..16]", "value", "layers 0 to 15")


def _stacks(document: Document) -> dict[str, int]:
    return {stack.prefix: stack.count for checkpoint in document.models.values() for stack in checkpoint.stacks}


def _checkpoints(document: Document) -> Iterator[str]:
    for name, definition in document.definitions.items():
        if isinstance(definition, s.Binding) and model_source(definition.value) is not None:
            yield name


def _paths(document: Document, typed: str) -> Iterator[Item]:
    """Yield what lies in the folder that a path being typed leads to; nothing for names of the Hub."""
    parent = os.path.expanduser(typed.rpartition("/")[0])
    try:
        entries = sorted(os.scandir(document.folder / parent), key=lambda entry: entry.name)
    except (OSError, ValueError):
        return
    for entry in entries:
        if not entry.name.startswith("."):
            yield Item(f"{typed.rpartition('/')[0] or '.'}/{entry.name}", "file")
