"""Save the page of a recipe, and keep what a browser says of it."""

from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Page

from mergegraph.compiler import Compilation
from mergegraph.diagnostics import Source
from mergegraph.report.explain import explain


@dataclass
class Opened:
    """A page, what the browser asked for while it was used, and what it complained of."""

    page: Page
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


def save_page(recipe: str, name: str, folder: Path) -> Path:
    path = folder / f"{name}.html"
    compilation = Compilation(Source(f"{name}.merge", recipe), folder)
    path.write_text(explain(compilation, "plan", format="html", memory=16_000_000_000, workers=2), encoding="utf-8")
    return path
