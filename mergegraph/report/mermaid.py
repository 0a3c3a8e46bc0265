"""Write a picture in the language of Mermaid, which forges draw inside Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from mergegraph.recipe.recipe import Recipe, Save
from mergegraph.report.palette import TEXT, colours
from mergegraph.report.picture import Picture, PictureNode, recipe_picture

# The last: Mermaid takes `fa:fa-NAME` for an icon, even where the colon is a code.
_UNSAFE = re.compile(r"[^A-Za-z0-9 _.,/:+=()\[\]-]|(?<=:)f(?=a-)")


def to_mermaid(picture: Picture) -> str:
    """Return a picture as a flowchart."""
    return "\n".join(_lines(picture)) + "\n"


def recipe_mermaid(recipe: Recipe, saves: Sequence[Save]) -> str:
    """Return the flowchart of what some saves of a recipe need."""
    return to_mermaid(recipe_picture(recipe, saves))


def _lines(picture: Picture) -> Iterator[str]:
    yield "flowchart TD"
    yield from (_node(node) for node in picture.nodes)
    for edge in picture.edges:
        arrow = f'-- "{_text(edge.label)}" -->' if edge.label else "-->"
        yield f"  {edge.source} {arrow} {edge.target}"
    for kind in sorted({node.kind for node in picture.nodes}):
        found = colours(kind)
        yield f"  classDef {kind} fill:{found.fill},stroke:{found.border},color:{TEXT}"


def _node(node: PictureNode) -> str:
    label = "<br>".join(map(_text, node.lines))
    return f'  {node.id}["{label}"]:::{node.kind}'


def _text(text: str) -> str:
    """Return a text with everything that Mermaid, Markdown or HTML could take for their own as character codes."""
    return _UNSAFE.sub(lambda found: f"#{ord(found[0])};", text)
