"""Write a picture in the language of Graphviz."""

from __future__ import annotations

from collections.abc import Iterator

from mergegraph.report.palette import LINE, TEXT, colours
from mergegraph.report.picture import Picture, PictureNode


def to_dot(picture: Picture) -> str:
    """Return a picture as a directed graph for `dot`."""
    return "\n".join(_lines(picture)) + "\n"


def _lines(picture: Picture) -> Iterator[str]:
    yield "digraph merge {"
    yield "  graph [rankdir=TB, nodesep=0.3, ranksep=0.45, bgcolor=transparent];"
    yield f'  node [shape=box, style="rounded,filled", fontname="monospace", fontsize=11, fontcolor="{TEXT}"];'
    yield f'  edge [color="{LINE}", fontcolor="{LINE}", fontname="monospace", fontsize=10, arrowsize=0.7];'
    yield from (_node(node) for node in picture.nodes)
    for edge in picture.edges:
        label = f" [label={quoted(edge.label)}]" if edge.label else ""
        yield f"  {edge.source} -> {edge.target}{label};"
    yield "}"


def _node(node: PictureNode) -> str:
    found = colours(node.kind)
    label = "\\n".join(quoted(line)[1:-1] for line in node.lines)
    return f'  {node.id} [label="{label}", fillcolor="{found.fill}", color="{found.border}"];'


def quoted(text: str) -> str:
    """Return a text as a string of Graphviz, in which `&` begins an entity and a backslash an escape."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("&", "&amp;")
    return f'"{escaped}"'
