"""Take the screenshots of docs/how-to anew: the page of the study, a tensor of it opened, and its plan."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from pages import save_page
from playwright.sync_api import Page, sync_playwright
from shapes import llama, write_shapes

ROOT = Path(__file__).parent.parent.parent
IMAGES = ROOT / "docs" / "how-to" / "images"
RECIPE = ROOT / "tests" / "fixtures" / "recipes" / "study.merge"
MODELS = ("meta-llama/Llama-3.1-8B-Instruct", "Alelcv27/Llama3.1-8B-Code", "Alelcv27/Llama3.1-8B-Math-CoT")


def graph(page: Page) -> None:
    """Open a tensor, and choose an operation on it."""
    page.get_by_role("tab", name="Graph", exact=True).click()
    page.locator(".search input").fill("layers.0.self_attn.k_proj")
    page.locator("#found [role=option]").filter(has=page.get_by_text("ties", exact=True)).click()
    page.locator(".box.chosen .opener").click()
    page.locator('.box[data-id*="#"]', has_text="trim").last.click()


def plan(page: Page) -> None:
    """Point at a unit of the chart."""
    page.get_by_role("tab", name="Plan", exact=True).click()
    page.get_by_role("slider", name="Memory over units").hover(position={"x": 110, "y": 80})


PICTURES: dict[str, tuple[int, int, Callable[[Page], None]]] = {
    "page-graph": (1480, 720, graph),
    "page-plan": (1180, 800, plan),
}


def main() -> None:
    """Write every picture."""
    with TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        for model in MODELS:
            write_shapes(folder / model, llama())
        path = save_page(RECIPE.read_text(encoding="utf-8"), "study", folder)
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for picture, (width, height, look) in PICTURES.items():
            page = browser.new_page(viewport={"width": width, "height": height}, color_scheme="light", offline=True)
            page.goto(path.as_uri())
            page.wait_for_selector(".box")
            look(page)
            page.wait_for_timeout(1000)  # until what moves has come to rest
            page.screenshot(path=IMAGES / f"{picture}.png")


if __name__ == "__main__":
    main()
