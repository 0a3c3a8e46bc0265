"""Colours of the kinds of nodes, for light and for dark pages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Colours:
    """Fill and border of a box; its text is near black on a light page and near white on a dark one."""

    fill: str
    border: str
    dark_fill: str
    dark_border: str


TEXT, DARK_TEXT = "#1e293b", "#e2e8f0"
LINE, DARK_LINE = "#64748b", "#94a3b8"
PAGE, DARK_PAGE = "#ffffff", "#0f172a"

_BLUE = Colours("#dbeafe", "#3b82f6", "#172f5c", "#60a5fa")
_SKY = Colours("#f0f9ff", "#38bdf8", "#0c3149", "#38bdf8")
_AMBER = Colours("#fef3c7", "#d97706", "#442c0b", "#fbbf24")
_ORANGE = Colours("#ffedd5", "#ea580c", "#4a2008", "#fb923c")
_GREEN = Colours("#dcfce7", "#16a34a", "#0d3520", "#4ade80")
_VIOLET = Colours("#ede9fe", "#7c3aed", "#2e1f5e", "#a78bfa")
_GREY = Colours("#f8fafc", "#94a3b8", "#1e293b", "#64748b")

PALETTE: Mapping[str, Colours] = MappingProxyType(
    {
        "checkpoint": _BLUE,
        "model": _SKY,
        "layers": _SKY,
        "delta": _AMBER,
        "mask": _VIOLET,
        "field": _VIOLET,
        "stat": _ORANGE,
        "save": _GREEN,
        "pointwise": _AMBER,
        "scan": _VIOLET,
        "rowwise": _VIOLET,
        "reduction": _ORANGE,
        "scalar": _GREY,
        "key": _GREY,
    }
)
"""The colours of each kind of node: of the types of values in a recipe, and of the localities of operations."""


def colours(kind: str) -> Colours:
    """Return the colours of a kind, grey where it has none of its own."""
    return PALETTE.get(kind, _GREY)
