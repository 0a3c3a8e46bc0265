"""Load YAML text as a tree with spans: the plain part of YAML 1.2, whose meaning can't surprise anyone.

PyYAML's scanner in pure Python gives the events; the one in C crashes on deep nesting. Anchors, aliases, tags and keys
that come twice are errors, and so are depth and size beyond what any recipe has.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import yaml

from mergegraph.diagnostics import Diagnostic, Label, MergeGraphError, Source, Span, escape
from mergegraph.syntax.parse import MAX_BYTES, hidden_characters
from mergegraph.syntax.yaml.notes import Notes
from mergegraph.syntax.yaml.tree import Entry, Items, Map, Scalar, Tree, head

MAX_DEPTH = 64
"""How deep lists and maps may lie in each other."""

_TOO_DEEP = re.compile(rf"(?:[\[{{][ \n]*+){{{MAX_DEPTH + 1}}}")

_LARGE_NUMBER = re.compile(r"\\U(?!000|0010)[0-9A-Fa-f]{8}|%YAML[^\n]*")
_REASONS = {
    "mapping values": "write `key: value`, with a space after the colon; keys of one map begin in the same column",
    "block": "keys of one map begin in the same column, and so do the `-` of one list",
    "',' or": "brackets and braces are closed in the order they were opened, with `,` between their items",
    "end of stream": "close the quote",
    "": "the mistake is at the mark, or just above it",
}
"""What to do about a problem of PyYAML's that has these words in it; the last is for all others."""
_SURROGATE = re.compile("[\ud800-\udfff]")


def load(source: Source) -> tuple[Tree, ...]:
    """Return the documents of a text. MergeGraphError with every mistake that can be found."""
    size = len(source.text.encode("utf-8", "surrogatepass"))
    if size > MAX_BYTES:
        message = f"the recipe has {size:,} bytes; at most {MAX_BYTES:,} are read"
        raise MergeGraphError(Diagnostic("MG116", message, place=source.name, help=("is it a recipe at all?",)))
    notes = Notes(errors=hidden_characters(source))
    notes.check()
    try:
        documents = _Loader(source, notes).documents()
    except yaml.MarkedYAMLError as error:
        notes.errors.append(_malformed(error, source))
        documents = ()
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise MergeGraphError(_unreadable(error, source)) from None
    notes.check()
    return documents


class _Loader:
    def __init__(self, source: Source, notes: Notes) -> None:
        self.source = source
        self.notes = notes
        self.events: Iterator[yaml.Event] = yaml.parse(source.text, Loader=yaml.SafeLoader)

    def documents(self) -> tuple[Tree, ...]:
        # Before its first event, PyYAML takes time with the square of how deep a text begins.
        begins = _TOO_DEEP.search(self.source.text)
        if begins:
            self._too_deep(begins.end() - 1)
        return tuple(self._tree(event, 1) for event in self.events if isinstance(event, yaml.NodeEvent))

    def _tree(self, event: yaml.Event, depth: int) -> Tree:
        self._check(event, depth)
        match event:
            case yaml.ScalarEvent():
                if _SURROGATE.search(event.value):
                    self.notes.error("MG159", "an escape stands for no character", head(self._span(event)))
                return Scalar(str(event.value), event.style is None, self._span(event))
            case yaml.SequenceStartEvent():
                items, end = self._until(yaml.SequenceEndEvent, depth)
                return Items(items, self._span(event, end))
            case yaml.MappingStartEvent():
                parts, end = self._until(yaml.MappingEndEvent, depth)
                return Map(tuple(self._entries(parts)), self._span(event, end))
            case _:
                return Scalar("", True, self._span(event))

    def _until(self, last: type[yaml.Event], depth: int) -> tuple[tuple[Tree, ...], yaml.Event]:
        found: list[Tree] = []
        for event in self.events:
            if isinstance(event, last):
                return tuple(found), event
            found.append(self._tree(event, depth + 1))
        raise AssertionError("the events of a text are balanced")

    def _entries(self, parts: tuple[Tree, ...]) -> Iterator[Entry]:
        seen: dict[str, Scalar] = {}
        for key, value in zip(parts[::2], parts[1::2], strict=True):
            if not isinstance(key, Scalar):
                advice = ("write `key: value`; a list or a map can only be a value",)
                self.notes.error("MG157", "a key must be a single word", head(key.span), help=advice)
            elif key.text in seen:
                first = Label(seen[key.text].span, "first time")
                help = (
                    "keep one of them; YAML readers silently take the last",
                    "each entry of a list begins with `- `",
                )
                message = f"`{escape(key.text)}` is given twice"
                self.notes.error("MG153", message, key.span, "second time", first, help=help)
            else:
                seen[key.text] = key
                yield Entry(key, value)

    def _check(self, event: yaml.Event, depth: int) -> None:
        span = self._span(event)
        if depth > MAX_DEPTH and isinstance(event, yaml.CollectionStartEvent):
            self._too_deep(span.start)
        if isinstance(event, yaml.AliasEvent):
            help = ("write the value out again; recipes in the language of MergeGraph can name values",)
            self.notes.error("MG154", "aliases are not read", span, help=help)
        elif isinstance(event, yaml.NodeEvent) and event.anchor is not None:
            place = Span(self.source, span.start, span.start + 1 + len(event.anchor))
            self.notes.error("MG154", "anchors are not read", place, help=("remove it",))
        tag = getattr(event, "tag", None)
        if tag is not None:
            help = ("remove it: the kind of a value is seen from the value",)
            self.notes.error("MG155", "tags are not read", head(span), help=help)

    def _too_deep(self, start: int) -> None:
        place = Span(self.source, start, start + 1)
        self.notes.error("MG156", f"this is nested more than {MAX_DEPTH} deep", place)
        self.notes.check()

    def _span(self, first: yaml.Event, last: yaml.Event | None = None) -> Span:
        start, end = first.start_mark, (last or first).end_mark
        assert start is not None
        assert end is not None
        text = self.source.text[start.index : end.index]
        return Span(self.source, start.index, start.index + len(text.rstrip()))


def _malformed(error: yaml.MarkedYAMLError, source: Source) -> Diagnostic:
    mark = error.problem_mark or error.context_mark
    start = min(mark.index, len(source.text)) if mark else 0
    found = source.text[start : start + 1]
    labels = [Label(Span(source, start, start + 1))]
    if error.context_mark and error.context and error.context_mark.index < start:
        labels.append(Label(Span(source, error.context_mark.index, error.context_mark.index + 1), error.context))
    if found == "\t":
        return Diagnostic("MG152", "a tab can't indent YAML", tuple(labels[:1]), ("indent with spaces",))
    problem = error.problem or "it ends too early"
    help = next((help for words, help in _REASONS.items() if words in problem), _REASONS[""])
    return Diagnostic("MG151", f"this is not YAML: {escape(problem)}", tuple(labels), (help,))


def _unreadable(error: Exception, source: Source) -> Diagnostic:
    """Return what is wrong where PyYAML refuses a character, or fails without saying where."""
    if isinstance(error, yaml.reader.ReaderError):
        place = Span(source, error.position, error.position + 1)
        return Diagnostic("MG151", "this is not YAML: it has a character that YAML can't have", (Label(place),))
    number = _LARGE_NUMBER.search(source.text)
    labels = (Label(Span(source, *number.span())),) if number else ()
    return Diagnostic(
        "MG159", "a number of an escape or a directive is too large", labels, place="" if number else source.name
    )
