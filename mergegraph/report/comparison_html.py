"""Show how models differ as a page: tables of colours, for each model and measure, without script or network."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from html import escape as escape_html
from typing import TypeVar

from mergegraph.diagnostics import escape
from mergegraph.report.comparison_text import (
    agreements,
    cosine,
    number,
    odd_lines,
    percent,
    whole,
)
from mergegraph.report.heat import HeatMap, conflict_maps, difference_maps
from mergegraph.survey.results import Comparison, Conflict, Difference

F = TypeVar("F", Difference, Conflict)

STEPS = 20
"""Shades of a heat map."""

_STYLE = (
    """
:root { color-scheme: light dark; --page: #fff; --ink: #1c1f24; --faint: #6a717c; --line: #d9dde3; --cold: #f3f5f8;
  --hot: #b3261e; --turn: #fff }
@media (prefers-color-scheme: dark) { :root { --page: #15181d; --ink: #e6e8ec; --faint: #98a0ab; --line: #333a44;
  --cold: #20252d; --hot: #ff8a70; --turn: #15181d } }
body { margin: 2rem; background: var(--page); color: var(--ink); font: 14px/1.45 system-ui, sans-serif }
h1 { font-size: 1.4rem } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th { font-weight: normal; text-align: left; padding: .1rem .6rem .1rem 0 } thead th { color: var(--faint) }
thead th + th { padding: .1rem .4rem; text-align: right }
td { padding: .1rem .4rem; text-align: right; border: 1px solid var(--page); font-size: 12px }
.wide { overflow-x: auto } .none { color: var(--faint) } ul { padding-left: 1.2rem }
summary { cursor: pointer; margin: .6rem 0 } .facts td { font-size: 14px }
.facts td, .facts thead th + th { padding-right: 1.2rem }
"""
    + "".join(
        f".s{i} {{ background: color-mix(in srgb, var(--hot) {100 * i // (STEPS - 1)}%, var(--cold)) }}\n"
        for i in range(STEPS)
    )
    + "".join(f".s{i}{',' if i < STEPS - 1 else ' { color: var(--turn) }'}" for i in range(STEPS // 2, STEPS))
    + "\n"
)
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()


def comparison_html(comparison: Comparison) -> str:
    """Return a page that stands alone; every name in it is escaped, and its policy allows nothing but its style."""
    title = f"What differs from {_text(comparison.reference)}"
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-{_HASH}'\">",
        '<meta name="viewport" content="width=device-width">',
        f"<title>{title}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{title}</h1>",
        *_facts(comparison),
    ]
    for model, source in enumerate(comparison.models):
        maps = difference_maps(comparison, model)
        parts.append(f"<h2>{_text(source)}</h2>")
        parts += _measure("Norm of the difference by that of the reference", maps, lambda f: f.relative, _aligned, True)
        parts += _measure("1 − cosine", maps, lambda f: 1.0 - f.cosine, _aligned, False)
        parts += _measure("Share of changed elements", maps, lambda f: f.share, percent, False)
    conflicts = conflict_maps(comparison)
    if conflicts:
        parts.append("<h2>Between the models</h2>")
        text = "Share of elements that models change in opposite directions"
        parts += _measure(text, conflicts, lambda f: f.share, percent, True)
    return "\n".join([*parts, "</body></html>\n"])


def _facts(comparison: Comparison) -> Iterator[str]:
    yield '<table class="facts"><thead><tr><th></th><th>relative norm</th><th>cosine</th><th>changed</th></tr></thead>'
    for model, source in enumerate(comparison.models):
        total = whole(comparison, model)
        if total:
            cells = (number(total.relative), cosine(total.cosine), percent(total.share))
            yield f"<tr><th>{_text(source)}</th>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
    yield "</table><ul>"
    for (one, other), value in agreements(comparison).items():
        pair = f"{_text(comparison.models[one])} and {_text(comparison.models[other])}"
        yield f"<li>cosine between the changes of {pair}: {cosine(value)}</li>"
    yield from (f"<li>{escape_html(line)}</li>" for line in odd_lines(comparison))
    yield "</ul>"


def _measure(
    title: str, maps: Sequence[HeatMap[F]], measure: Callable[[F], float], show: Callable[[float], str], open_: bool
) -> Iterator[str]:
    values = [measure(f) for m in maps for row in m.rows.values() for f in row if f is not None]
    most = max((value for value in values if math.isfinite(value)), default=0.0)
    yield f"<details{' open' if open_ else ''}><summary>{title}, up to {show(most)}</summary>"
    for found in maps:
        yield from _table(found, most, measure, show)
    yield "</details>"


def _table(
    found: HeatMap[F], most: float, measure: Callable[[F], float], show: Callable[[float], str]
) -> Iterator[str]:
    """Yield the rows of a heat map: of layers, a column for each kind; outside of layers, a row for each tensor."""
    layers = found.stack is not None
    kinds = list(found.rows)
    yield '<div class="wide"><table>'
    if layers:
        heads = "".join(f"<th>{_text(kind).replace('.', '.<wbr>')}</th>" for kind in kinds)
        yield f"<thead><tr><th>{_text(found.stack or 'layer')}</th>{heads}</tr></thead>"
        rows = [(str(layer), [found.rows[kind][layer] for kind in kinds]) for layer in range(found.layers)]
    else:
        yield "<thead><tr><th>outside layers</th></tr></thead>"
        rows = [(_text(kind), list(found.rows[kind])) for kind in kinds]
    for head, cells in rows:
        yield f"<tr><th>{head}</th>{''.join(_cell(cell, most, measure, show) for cell in cells)}</tr>"
    yield "</table></div>"


def _cell(cell: F | None, most: float, measure: Callable[[F], float], show: Callable[[float], str]) -> str:
    if cell is None:
        return '<td class="none">·</td>'
    value = measure(cell)
    if not math.isfinite(value):
        return f'<td class="none">{show(value)}</td>'
    step = min(STEPS - 1, max(0, int(STEPS * value / most))) if most > 0 else 0
    return f'<td class="s{step}">{show(value)}</td>'


def _aligned(value: float) -> str:
    """Return a number with four digits, zeros at the end among them, so that those below each other line up."""
    return f"{value:#.4g}" if math.isfinite(value) and value else number(value)


def _text(name: str) -> str:
    return escape_html(escape(name))
