"""Pages and pictures that are made from the program are those that this version makes."""

from pathlib import Path

import pytest
from families import make_family
from merging import compilation
from reference_pages import cli_page, grammar_page
from snippets import fences

from mergegraph.report.picture import recipe_picture
from mergegraph.report.svg import to_svg

DOCS = Path(__file__).parent.parent.parent / "docs"


@pytest.mark.parametrize(("page", "made"), [("cli.md", cli_page), ("grammar.md", grammar_page)])
def test_the_page_is_fresh(page, made, check_text):
    check_text(DOCS / "reference" / page, made())


def test_the_picture_of_the_first_page_is_fresh(tmp_path, check_text):
    make_family(tmp_path, models=("base", "code", "math"))
    text = next(fence.text for fence in fences(DOCS / "index.md") if fence.title == "ties.merge")
    check_text(DOCS / "pictures" / "ties.svg", to_svg(recipe_picture(compilation(tmp_path, text).recipe)))
