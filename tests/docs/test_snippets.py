"""Everything that the documentation says to do is done, page by page, and prints what it says."""

from pathlib import Path

import pytest
from families import make_family
from snippets import DECLARED, ROOT, run_page
from sparse import LLAMA_8B, write_sparse

from mergegraph.ops import OPS

DOCS = ROOT / "docs"
GENERATED = ("methods.md", "cli.md", "grammar.md")
ELSEWHERE = ("adapters.md", "look-at-models.md")
"""Pages whose commands need more than models, which their own tests make."""
SLOW = sorted((DOCS / "tutorial").glob("*.md"))
PAGES = [DOCS / "index.md"]
PAGES += [page for folder in ("how-to", "reference", "explanation") for page in sorted((DOCS / folder).glob("*.md"))]
MODELS = ("base", "a", "b", "c", "code", "math", "chat")
STUDIED = ("meta-llama/Llama-3.1-8B-Instruct", "Alelcv27/Llama3.1-8B-Code", "math-cot")
"""What the first page speaks of: a folder of the name of a model of the Hub is taken before the Hub is asked."""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Make the models that the pages speak of in the current folder."""
    make_family(tmp_path, models=MODELS)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in set(OPS) - DECLARED:
        del OPS[name]


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", [page for page in PAGES if page.name not in (*GENERATED, *ELSEWHERE)], ids=_name)
def test_page(page, folder, capsys):
    run_page(page, lambda: "".join(capsys.readouterr()))


def test_the_first_page_explains_a_merge_of_real_shapes(tmp_path, monkeypatch, capsys):
    for name in STUDIED:
        write_sparse(tmp_path / name, LLAMA_8B)
    monkeypatch.chdir(tmp_path)
    run_page(ROOT / "README.md", lambda: "".join(capsys.readouterr()))


@pytest.mark.slow
@pytest.mark.parametrize("page", SLOW, ids=_name)
def test_tutorial(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run_page(page, lambda: "".join(capsys.readouterr()))
