"""Read a recipe written as YAML: a mergekit configuration, or the recipe language as a map."""

from __future__ import annotations

from mergegraph.diagnostics import Source, Span
from mergegraph.syntax.read import Read
from mergegraph.syntax.yaml.load import load
from mergegraph.syntax.yaml.mergekit import read_mergekit
from mergegraph.syntax.yaml.native import KEYS, read_native
from mergegraph.syntax.yaml.notes import Notes
from mergegraph.syntax.yaml.scalars import is_null
from mergegraph.syntax.yaml.tree import Map, Tree


def read_yaml(source: Source) -> Read:
    """Return the recipe of a YAML text. MergeGraphError with every mistake in it."""
    notes = Notes()
    documents = [document for document in load(source) if not is_null(document)]
    if not documents:
        end = Span(source, len(source.text), len(source.text))
        notes.error("MG162", "this recipe is empty", end, help=("a mergekit configuration has a `merge_method`",))
        notes.check()
    if len(documents) == 1 and _is_native(documents[0]):
        return Read(read_native(documents[0], source, notes), tuple(notes.warnings))
    return Read(read_mergekit(documents, source, notes), tuple(notes.warnings))


def _is_native(document: Tree) -> bool:
    keys = {entry.key.text for entry in document.entries} if isinstance(document, Map) else set()
    return "merge_method" not in keys and bool(keys & set(KEYS))
