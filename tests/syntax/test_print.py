"""The Syntax as a tree of lines and as plain data."""

import json
from pathlib import Path

import pytest

from mergegraph.syntax.parse import parse
from mergegraph.syntax.print import print_syntax, syntax_json

FIXTURES = Path(__file__).parents[1] / "fixtures"
TREES = sorted((FIXTURES / "syntax" / "trees").glob("*.merge"))


@pytest.mark.parametrize("path", TREES, ids=lambda path: path.stem)
def test_trees(path, check_text):
    check_text(path.with_suffix(".tree"), print_syntax(parse(path.read_text(encoding="utf-8"), path.name)))


def test_plain_data_has_kind_place_and_fields_of_each_node(check_text):
    recipe = parse((FIXTURES / "recipes" / "quickstart.merge").read_text(encoding="utf-8"), "quickstart.merge")
    path = FIXTURES / "syntax" / "trees" / "quickstart.json"
    check_text(path, json.dumps(syntax_json(recipe), indent=1) + "\n")
