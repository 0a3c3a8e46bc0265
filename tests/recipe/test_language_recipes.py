"""The recipes of the language all resolve; what this version lacks says that it is not there yet, nothing else does."""

from pathlib import Path

import pytest

from mergegraph.diagnostics import MergeGraphError
from mergegraph.recipe.resolve import resolve
from mergegraph.syntax.format import format_text
from mergegraph.syntax.parse import parse

RECIPES = sorted((Path(__file__).parent.parent / "fixtures" / "recipes").glob("*.merge"))
OUTPUTS = {"multistage": 2, "study": 17}


def no_imports(path):
    raise FileNotFoundError(2, "No such file or directory", path)


@pytest.mark.parametrize("path", [p for p in RECIPES if p.stem != "adapters"], ids=lambda path: path.stem)
def test_it_resolves(path):
    recipe = resolve(parse(path.read_text(), path.name), no_imports)
    assert len(recipe.saves) == OUTPUTS.get(path.stem, 1)
    assert recipe.warnings == ()


def test_adapters_are_not_there_yet():
    path = next(p for p in RECIPES if p.stem == "adapters")
    with pytest.raises(MergeGraphError) as caught:
        resolve(parse(path.read_text(), path.name), no_imports)
    assert {diagnostic.code for diagnostic in caught.value.diagnostics} == {"MG205"}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_it_formats_to_itself_after_once(path):
    once = format_text(path.read_text(), path.name)
    assert format_text(once, path.name) == once
