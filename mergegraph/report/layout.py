"""Where the parts of a picture go. Lengths are in pixels; y grows downwards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias
from unicodedata import east_asian_width

from mergegraph.report.picture import PictureNode

FONT_SIZE, LINE_HEIGHT = 12.0, 16.0
LABEL_SIZE = 10.0
ADVANCE = 0.605
"""The width of a character of a monospaced font, in sizes of the font."""

Point: TypeAlias = "tuple[float, float]"


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle, by its centre."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Route:
    """The way of an arrow: the control points of Bézier curves, 3k + 1 of them, and the centre of its label."""

    points: tuple[Point, ...]
    label: Point | None


@dataclass(frozen=True, slots=True)
class Layout:
    """All places of a picture: boxes by the ids of its nodes, routes in the order of its edges."""

    width: float
    height: float
    boxes: Mapping[str, Box]
    routes: tuple[Route, ...]


def box_size(node: PictureNode) -> tuple[float, float]:
    """Return the width and height that a node's lines need."""
    widest = max(text_width(line, FONT_SIZE) for line in node.lines)
    return max(48.0, widest + 20.0), len(node.lines) * LINE_HEIGHT + 12.0


def text_width(text: str, size: float) -> float:
    """Return the width of a text; characters of East Asian scripts are as wide as two others."""
    return sum(2 if east_asian_width(c) in "WF" else 1 for c in text) * ADVANCE * size
