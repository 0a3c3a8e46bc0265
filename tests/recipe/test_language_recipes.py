"""The recipes of the language all resolve."""

from pathlib import Path

import pytest

from mergegraph.recipe.resolve import resolve
from mergegraph.syntax.format import format_text
from mergegraph.syntax.parse import parse

RECIPES = sorted((Path(__file__).parent.parent / "fixtures" / "recipes").glob("*.merge"))
OUTPUTS = {"multistage": 2, "study": 17}


def no_imports(path):
    raise FileNotFoundError(2, "No such file or directory", path)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_it_resolves(path):
    recipe = resolve(parse(path.read_text(), path.name), no_imports)
    assert len(recipe.saves) == OUTPUTS.get(path.stem, 1)
    assert recipe.warnings == ()


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_it_formats_to_itself_after_once(path):
    once = format_text(path.read_text(), path.name)
    assert format_text(once, path.name) == once
