"""Show a recipe, a graph and a plan in notebooks: HTML that needs no script, with pictures as images."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable
from html import escape as escape_html
from typing import TypeAlias

from mergegraph.compiler import Compilation
from mergegraph.diagnostics import escape
from mergegraph.ir.graph import Graph
from mergegraph.ir.print import bound_text, expression_lines, reference_names
from mergegraph.plan.plan import Plan
from mergegraph.report import figures
from mergegraph.report.families import Family, Item, families, fold
from mergegraph.report.graph_text import graph_text
from mergegraph.report.picture import recipe_picture
from mergegraph.report.plan_text import plan_text
from mergegraph.report.recipe_text import recipe_text
from mergegraph.report.spelling import counted
from mergegraph.report.svg import to_svg
from mergegraph.report.timeline import timeline
from mergegraph.report.timeline_svg import timeline_svg
from mergegraph.sizes import format_size

MOST_EXPRESSIONS = 60

Bundle: TypeAlias = dict[str, str]
"""Forms of one thing by MIME type, of which a notebook shows the best that it can."""


def recipe_bundle(compilation: Compilation) -> Bundle:
    """Return a recipe as text, and as HTML with its picture."""
    return {"text/plain": recipe_text(compilation.recipe), "text/html": recipe_html(compilation)}


def graph_bundle(graph: Graph) -> Bundle:
    """Return a graph as text, and as HTML to open step by step."""
    return {"text/plain": graph_text(graph), "text/html": graph_html(graph)}


def plan_bundle(compilation: Compilation, plan: Plan) -> Bundle:
    """Return a plan as text, and as HTML with a chart of its memory."""
    return {"text/plain": plan_text(compilation, plan), "text/html": plan_html(compilation, plan)}


def recipe_html(compilation: Compilation) -> str:
    """Return a recipe as its picture."""
    title = f"recipe {compilation.source.name}"
    return _element(
        "figure", _image(to_svg(recipe_picture(compilation.recipe)), title), _element("figcaption", _text(title))
    )


def graph_html(graph: Graph) -> str:
    """Return a graph as nested parts to be opened: outputs, layers that are alike, tensors, their expressions."""
    writer = _Writer(reference_names(graph.models))
    blocks = []
    for save, path in enumerate(graph.saves):
        tensors = [tensor for tensor in graph.tensors if tensor.save == save]
        nbytes = sum(tensor.root.tensor.nbytes for tensor in tensors)
        summary = f"{_code(path)} {counted(len(tensors), 'tensor')}, {format_size(nbytes)}"
        blocks.append(_details(summary, map(writer.item, fold(tensors))))
    return "".join(blocks)


def plan_html(compilation: Compilation, plan: Plan) -> str:
    """Return a plan as its figures and a chart of the memory that units take one after the other."""
    chart = timeline_svg(timeline(plan, compilation.tensor), plan)
    inputs = [
        (_code(found.name), _text(found.source), format_size(found.used), f"of {format_size(found.nbytes)}")
        for found in figures.inputs(compilation, plan)
    ]
    return "".join([_table(_plan_rows(plan)), _image(chart, "memory over units"), _table(inputs)])


def _plan_rows(plan: Plan) -> list[tuple[str, str]]:
    proven = "the order of operations is optimal" if plan.optimal else "the order of operations may not be optimal"
    return [
        ("reads", format_size(plan.bytes_read)),
        ("writes", format_size(plan.bytes_written)),
        ("planned peak", f"{format_size(plan.planned_peak_bytes)} of {format_size(plan.budget_bytes)} allowed"),
        ("least possible", f"{format_size(plan.lower_bound_bytes)}; {proven}"),
        ("units", f"{len(plan.units):,} on {counted(plan.workers, 'worker')}"),
    ]


class _Writer:
    """Writes items as HTML, with the expressions of the first families."""

    def __init__(self, names: list[str]) -> None:
        self.names = names
        self.left = MOST_EXPRESSIONS

    def item(self, item: Item) -> str:
        if isinstance(item, Family):
            return self._family(item)
        count = sum(len(family.tensors) for family in families(item.items))
        summary = f"{_code(item.prefix)} ×{len(item.indices)}, {counted(count, 'tensor')}"
        return _details(summary, map(self.item, item.items))

    def _family(self, family: Family) -> str:
        first = family.tensors[0]
        summary = f"{_code(family.name)} {_text(str(first.root.type))}"
        self.left -= 1
        if self.left < 0:
            return _element("div", summary)
        lines = expression_lines(first.root, lambda leaf: bound_text(first, leaf, self.names))
        return _details(summary, [_element("pre", _text("\n".join(map(escape, lines)), lines=True))])


def _details(summary: str, parts: Iterable[str]) -> str:
    body = f'<div style="margin-left: 1.5em">{"".join(parts)}</div>'
    return _element("details", _element("summary", summary), body)


def _table(rows: Iterable[Iterable[str]]) -> str:
    return _element("table", *(_element("tr", *(_element("td", cell) for cell in row)) for row in rows))


def _image(svg: str, title: str) -> str:
    """Return a picture as an image, so that its styles stay inside it."""
    data = b64encode(svg.encode()).decode()
    return f'<img style="max-width: 100%" alt="{_text(title)}" src="data:image/svg+xml;base64,{data}">'


def _code(text: str) -> str:
    return _element("code", _text(text))


def _text(text: str, *, lines: bool = False) -> str:
    return escape_html(text if lines else escape(text))


def _element(tag: str, *parts: str) -> str:
    return f"<{tag}>{''.join(parts)}</{tag}>"
