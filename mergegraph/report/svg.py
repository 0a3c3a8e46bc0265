"""Draw a picture as SVG: one file, no scripts, for light and dark pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from html import escape

from mergegraph.report.graphviz import graphviz_layout
from mergegraph.report.layered import layered_layout
from mergegraph.report.layout import FONT_SIZE, LABEL_SIZE, LINE_HEIGHT, Box, Layout, Point, Route
from mergegraph.report.palette import DARK_LINE, DARK_PAGE, DARK_TEXT, LINE, PAGE, TEXT, colours
from mergegraph.report.picture import Picture, PictureEdge, PictureNode

FONTS = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace"
SPACE = 8.0


def to_svg(picture: Picture, find_layout: Callable[[Picture], Layout | None] = graphviz_layout) -> str:
    """Return a picture as an SVG file, laid out by Graphviz where it is installed, otherwise by ourselves."""
    return draw(picture, find_layout(picture) or layered_layout(picture))


def draw(picture: Picture, layout: Layout) -> str:
    """Return a picture with this layout as an SVG file."""
    return "\n".join(_lines(picture, layout)) + "\n"


def _lines(picture: Picture, layout: Layout) -> Iterator[str]:
    width, height = layout.width + 2 * SPACE, layout.height + 2 * SPACE
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="{-SPACE:.0f} {-SPACE:.0f} {width:.0f} {height:.0f}" role="img" aria-label="merge graph">'
    )
    yield f"<style>{''.join(_style(sorted({node.kind for node in picture.nodes})))}</style>"
    yield (
        '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7.5" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><path class="head" d="M0 0.8 L8 4 L0 7.2 Z"/></marker></defs>'
    )
    yield f'<rect class="page" x="{-SPACE:.0f}" y="{-SPACE:.0f}" width="100%" height="100%"/>'
    for route in layout.routes:
        yield f'<path class="edge" marker-end="url(#arrow)" d="{_path(route.points)}"/>'
    for edge, route in zip(picture.edges, layout.routes, strict=True):
        yield from _label(edge, route)
    for node in picture.nodes:
        yield from _box(node, layout.boxes[node.id])
    yield "</svg>"


def _style(kinds: list[str]) -> Iterator[str]:
    yield f"text{{font:{FONT_SIZE:g}px {FONTS};fill:{TEXT};text-anchor:middle}}.title{{font-weight:bold}}"
    yield f".page{{fill:{PAGE}}}.edge{{fill:none;stroke:{LINE}}}.head{{fill:{LINE}}}"
    yield f".label{{font-size:{LABEL_SIZE:g}px;paint-order:stroke;stroke:{PAGE};stroke-width:4px}}"
    for kind in kinds:
        yield f".{kind}{{fill:{colours(kind).fill};stroke:{colours(kind).border}}}"
    yield f"@media(prefers-color-scheme:dark){{text{{fill:{DARK_TEXT}}}.page{{fill:{DARK_PAGE}}}"
    yield f".edge{{stroke:{DARK_LINE}}}.head{{fill:{DARK_LINE}}}.label{{stroke:{DARK_PAGE}}}"
    for kind in kinds:
        yield f".{kind}{{fill:{colours(kind).dark_fill};stroke:{colours(kind).dark_border}}}"
    yield "}"


def _path(points: tuple[Point, ...]) -> str:
    first, *rest = (f"{x:.1f} {y:.1f}" for x, y in points)
    return f"M{first} C{' '.join(rest)}"


def _label(edge: PictureEdge, route: Route) -> Iterator[str]:
    if edge.label and route.label:
        x, y = route.label
        yield f'<text class="label" x="{x:.1f}" y="{y + LABEL_SIZE * 0.35:.1f}">{escape(edge.label)}</text>'


def _box(node: PictureNode, box: Box) -> Iterator[str]:
    left, top = box.x - box.width / 2, box.y - box.height / 2
    yield "<g>"
    yield f"<title>{escape(' · '.join(node.lines))}</title>"
    yield (
        f'<rect class="{node.kind}" x="{left:.1f}" y="{top:.1f}" width="{box.width:.1f}" '
        f'height="{box.height:.1f}" rx="6"/>'
    )
    first = box.y - (len(node.lines) - 1) * LINE_HEIGHT / 2 + FONT_SIZE * 0.35
    for i, line in enumerate(node.lines):
        style = ' class="title"' if i == 0 else ""
        yield f'<text{style} x="{box.x:.1f}" y="{first + i * LINE_HEIGHT:.1f}">{escape(line)}</text>'
    yield "</g>"
