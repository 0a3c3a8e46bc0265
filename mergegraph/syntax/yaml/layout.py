"""Lay out recipes in YAML: spaces and blank lines only, as their structure and comments are the author's."""

from __future__ import annotations

from mergegraph.diagnostics import Source
from mergegraph.syntax.yaml.load import load
from mergegraph.syntax.yaml.tree import Items, Map, Tree


def format_yaml(source: Source) -> str:
    """Return a text without spaces at the ends of lines and with single blank lines, and an end to its last line.

    Where that would change a value, as in a block of text, the text is returned as it is. MergeGraphError for what
    can't be read.
    """
    documents = load(source)
    lines: list[str] = []
    for line in (line.rstrip() for line in source.text.splitlines()):
        if line or (lines and lines[-1]):
            lines.append(line)
    text = "\n".join(lines).rstrip("\n") + "\n"
    same = [_plain(tree) for tree in load(Source(source.name, text))] == [_plain(tree) for tree in documents]
    return text if same else source.text


def _plain(tree: Tree) -> object:
    """Return what a tree says, wherever it stands."""
    match tree:
        case Items(items):
            return [_plain(item) for item in items]
        case Map(entries):
            return {entry.key.text: _plain(entry.value) for entry in entries}
        case _:
            return tree.text, tree.plain
