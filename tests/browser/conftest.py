"""Pages of two recipes, opened in a headless Chromium that reports everything it asks for and complains of."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pages import Opened, save_page
from playwright.sync_api import Browser, sync_playwright
from shapes import deepseek, llama, write_shapes

STUDY = Path(__file__).parent.parent / "fixtures" / "recipes" / "study.merge"
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
)  # fmt: skip
MODELS = ("meta-llama/Llama-3.1-8B-Instruct", "Alelcv27/Llama3.1-8B-Code", "Alelcv27/Llama3.1-8B-Math-CoT")
LARGE = """
a = model("./a")
b = model("./b")
t = select { "*.self_attn.*": ramp(0.9, 0.4), _: 0.5 }
save lerp(a, b, t) to "merged"
"""


Open = Callable[..., Opened]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=shutil.which("chromium"), args=list(FLAGS))


@pytest.fixture
def open_page(chromium: Browser) -> Iterator[Open]:
    """Return what opens a file. In the end nothing but the files may have been asked for, and nothing complained of."""
    opened: list[Opened] = []

    def open_file(path: Path, scheme: str = "light") -> Opened:
        context = chromium.new_context(viewport={"width": 1440, "height": 900}, color_scheme=scheme, offline=True)
        found = Opened(context.new_page())
        opened.append(found)
        found.page.on("request", lambda request: found.requests.append(request.url))
        found.page.on("console", lambda message: found.complaints.append(message.text))
        found.page.on("pageerror", lambda error: found.complaints.append(str(error)))
        found.page.on("dialog", lambda dialog: found.complaints.append(dialog.message))
        found.page.goto(path.as_uri())
        found.page.wait_for_selector(".box")
        return found

    yield open_file
    for found in opened:
        assert [url for url in found.requests if not url.startswith("file:")] == []
        assert len(found.requests) == 1
        assert found.complaints == []
        found.page.context.close()


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the page of seventeen merges of models with 8 billion parameters."""
    folder = tmp_path_factory.mktemp("study")
    for name in MODELS:
        write_shapes(folder / name, llama())
    return save_page(STUDY.read_text(encoding="utf-8"), "study", folder)


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the page of a merge of models with 671 billion parameters, in 45,395 tensors."""
    folder = tmp_path_factory.mktemp("large")
    for name in ("a", "b"):
        write_shapes(folder / name, deepseek())
    return save_page(LARGE, "large", folder)
