"""Make the page: one file with all stages of a compilation, which needs no network and runs no script but its own."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator, Sequence
from hashlib import sha256
from html import escape as escape_html
from importlib.resources import files
from typing import Any

from mergegraph.compiler import Compilation
from mergegraph.diagnostics import escape
from mergegraph.ops import OPS
from mergegraph.plan.measured import Measured
from mergegraph.plan.plan import Plan
from mergegraph.report.methods import LOCALITIES
from mergegraph.report.page_graph import graphs_json
from mergegraph.report.page_plan import page_plan_json
from mergegraph.report.page_recipe import recipe_json, recipe_nodes
from mergegraph.report.palette import PALETTE


def page(compilation: Compilation, plan: Plan, measured: Sequence[Measured] = ()) -> str:
    """Return the page of a compilation as HTML. `measured` is what each unit of the plan took, where it was run."""
    return fill(page_json(compilation, plan, measured))


def page_json(compilation: Compilation, plan: Plan, measured: Sequence[Measured] = ()) -> dict[str, Any]:
    """Return all that the page shows as plain data."""
    recipe = recipe_json(compilation)
    return {
        "title": escape(compilation.source.name),
        "models": list(map(escape, compilation.graph.models)),
        "saves": list(map(escape, compilation.graph.saves)),
        "operations": _operations(),
        "recipe": recipe,
        **graphs_json(compilation, recipe_nodes(compilation)),
        "plan": page_plan_json(compilation, plan, measured),
    }


def fill(data: dict[str, Any]) -> str:
    """Return the page that shows this data. No text of the data can be taken for HTML or a script."""
    script, style = _asset("page.js"), f"{_asset('page.css')}{''.join(_colours())}"
    allowed = f"script-src {_digest(script)}; style-src {_digest(style)}"
    policy = f"default-src 'none'; {allowed}; base-uri 'none'; form-action 'none'"
    return "".join(
        [
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n',
            f'<meta http-equiv="Content-Security-Policy" content="{escape_html(policy)}">\n',
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n',
            '<meta name="color-scheme" content="light dark">\n',
            f"<title>{escape_html(data['title'])} · MergeGraph</title>\n<style>{style}</style>\n</head>\n<body>\n",
            "<noscript>This page draws itself with a script. A picture as .svg needs none.</noscript>\n",
            f'<script type="application/json" id="data">{inert_json(data)}</script>\n<script>{script}</script>\n',
            "</body>\n</html>\n",
        ]
    )


def inert_json(data: Any) -> str:
    """Return data as JSON in which nothing can end a script, begin a comment or break a line."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.translate({ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"})


def _asset(name: str) -> str:
    return files("mergegraph.report").joinpath("assets", name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def _colours() -> Iterator[str]:
    """Yield the colours of each kind of node, which are those of all pictures."""
    for kind, found in PALETTE.items():
        light, dark = (found.fill, found.border), (found.dark_fill, found.dark_border)
        fill, border = (f"light-dark({a},{b})" for a, b in zip(light, dark, strict=True))
        yield f".k-{kind}{{--fill:{fill};--border:{border}}}"


def _operations() -> dict[str, Any]:
    return {
        name: {
            "summary": op.doc.partition("\n")[0],
            "locality": f"{op.locality.value}: {LOCALITIES.get(op.locality.value, '')}",
            "paper": op.paper,
        }
        for name, op in OPS.items()
    }
