"""Let Graphviz find the places of a picture, where it is installed."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Iterator, Sequence

from mergegraph.report.layout import ADVANCE, LABEL_SIZE, Box, Layout, Route, box_size, text_width
from mergegraph.report.picture import Picture, PictureNode

INCH = 72.0
SECONDS = 30


def graphviz_layout(picture: Picture) -> Layout | None:
    """Return the layout that `dot` finds; None if it is not installed or does not finish."""
    program = shutil.which("dot")
    if program is None:
        return None
    text = "\n".join(_question(picture))
    try:
        done = subprocess.run([program, "-Tplain"], input=text, capture_output=True, text=True, timeout=SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return None
    complete = done.returncode == 0 and done.stdout.startswith("graph ") and done.stdout.endswith("stop\n")
    return _answer(picture, done.stdout) if complete else None


def _question(picture: Picture) -> Iterator[str]:
    """Yield the graph without any of its texts: boxes of the right sizes, and labels of the right lengths."""
    yield "digraph { graph [nodesep=0.3, ranksep=0.4]; node [shape=box, fixedsize=true]; edge [arrowhead=none"
    yield f'fontname="monospace", fontsize={LABEL_SIZE}];'
    yield from map(_sized, picture.nodes)
    for edge in picture.edges:
        length = round(text_width(edge.label, 1) / ADVANCE)
        yield f'{edge.source} -> {edge.target} [label="{"x" * length}"];'
    yield "}"


def _sized(node: PictureNode) -> str:
    width, height = box_size(node)
    return f"{node.id} [width={width / INCH:.4f}, height={height / INCH:.4f}];"


def _answer(picture: Picture, plain: str) -> Layout:
    lines = [shlex.split(line) for line in plain.splitlines()]
    width, height = (float(length) * INCH for length in lines[0][2:4])
    boxes = {line[1]: _box(line, height) for line in lines if line[0] == "node"}
    routes: dict[tuple[str, str], list[Route]] = {}
    for line in lines:
        if line[0] == "edge":
            routes.setdefault((line[1], line[2]), []).append(_route(line, height))
    ordered = tuple(routes[edge.source, edge.target].pop(0) for edge in picture.edges)
    return Layout(width, height, boxes, ordered)


def _box(words: Sequence[str], height: float) -> Box:
    x, y, wide, high = (float(word) * INCH for word in words[2:6])
    return Box(x, height - y, wide, high)


def _route(words: Sequence[str], height: float) -> Route:
    count = int(words[3])
    numbers = [float(word) * INCH for word in words[4 : 4 + 2 * count]]
    points = tuple((x, height - y) for x, y in zip(numbers[::2], numbers[1::2], strict=True))
    rest = words[4 + 2 * count :]
    if len(rest) < 5:
        return Route(points, None)
    return Route(points, (float(rest[1]) * INCH, height - float(rest[2]) * INCH))
