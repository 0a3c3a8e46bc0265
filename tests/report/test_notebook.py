"""Notebooks get HTML that needs no script, in which names are text."""

import base64
import re
from collections.abc import Callable
from html import escape as escape_html
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import torch
from families import write_model

from mergegraph.compiler import Compilation
from mergegraph.diagnostics import Source
from mergegraph.plan.plan import Plan
from mergegraph.report.notebook import graph_bundle, plan_bundle, recipe_bundle

HOSTILE = "</details><img src=x onerror=alert(1)>"
Compiled = Callable[[str], Compilation]
Planned = Callable[..., Plan]


class Tags(HTMLParser):
    """Collects the elements of a text, and which of them are left open."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.open: list[str] = []
        self.attributes: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def pictures(html: str) -> list[ElementTree.Element]:
    data = re.findall(r'src="data:image/svg\+xml;base64,([^"]+)"', html)
    return [ElementTree.fromstring(base64.b64decode(text)) for text in data]


def test_a_notebook_shows_every_stage_without_scripts(compiled: Compiled, planned: Planned) -> None:
    compilation = compiled("frankenmerge")
    plan = planned(compilation)
    bundles = [
        recipe_bundle(compilation),
        graph_bundle(compilation.graph),
        graph_bundle(compilation.optimized),
        plan_bundle(compilation, plan),
    ]
    for bundle in bundles:
        assert list(bundle) == ["text/plain", "text/html"]
        tags = Tags(bundle["text/html"])
        assert not tags.open
        assert not tags.found & {"script", "style", "iframe", "link"}
    recipe, graph, _, plan_html = (bundle["text/html"] for bundle in bundles)
    assert len(pictures(recipe)) == 1
    assert len(pictures(plan_html)) == 1
    assert "<code>model.layers</code> ×16" in graph
    assert "<code>mlp.up_proj.weight</code> bfloat16[16, 16]" in graph
    assert "slerp(%1, %3, 0.5" in graph


def test_names_are_text(tmp_path: Path, planned: Planned) -> None:
    write_model(tmp_path / "a", {HOSTILE: torch.ones(4), "w\u202e": torch.ones(2)})
    text = f'x = model("./a")\nsave scale(x, 2) to "{HOSTILE}"\n'
    compilation = Compilation(Source("test.merge", text), tmp_path)
    html = graph_bundle(compilation.optimized)["text/html"]
    assert Tags(html).found == {"details", "summary", "div", "code", "pre"}
    assert Tags(html).attributes == {"style"}
    assert html.count(f"<code>{escape_html(HOSTILE)}</code>") == 2
    assert "w\\u202e" in html
    assert Tags(plan_bundle(compilation, planned(compilation))["text/html"]).found == {
        "table",
        "tr",
        "td",
        "img",
        "code",
    }
