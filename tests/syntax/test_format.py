"""The one layout: of whole recipes, of what is too wide, of comments, and of trees that were never text."""

from pathlib import Path

import pytest
from syntax_trees import SPAN, bare

from mergegraph.syntax import nodes as s
from mergegraph.syntax.format import format_recipe, format_text
from mergegraph.syntax.parse import parse

FIXTURES = Path(__file__).parents[1] / "fixtures"
RECIPES = sorted((FIXTURES / "recipes").glob("*.merge"))
LAYOUTS = sorted((FIXTURES / "syntax" / "format").glob("*.merge"))


@pytest.mark.parametrize("path", LAYOUTS, ids=lambda path: path.stem)
def test_layouts(path, check_text):
    text = path.read_text(encoding="utf-8")
    formatted = format_text(text, path.name)
    check_text(path.with_suffix(".formatted"), formatted)
    assert format_text(formatted, path.name) == formatted
    assert bare(parse(formatted, path.name).statements) == bare(parse(text, path.name).statements)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipes_are_laid_out_already_but_for_the_long_lines_of_the_study(path):
    text = path.read_text(encoding="utf-8")
    formatted = format_text(text, path.name)
    assert (formatted == text) == (path.stem != "study")
    assert format_text(formatted, path.name) == formatted
    assert max(map(len, formatted.split("\n"))) <= 120


def test_line_ends_and_the_mark_of_byte_order_are_made_plain():
    assert format_text("\ufeff# one \r\na = 1\t\r\n\r\n\r\nb = 2", "crlf") == "# one\na = 1\n\nb = 2\n"


def test_an_empty_text_stays_empty_and_comments_alone_stay():
    assert format_text("", "empty") == ""
    assert format_text("\n \n", "blank") == ""
    assert format_text("\n# one\n\n\n\n# two", "comments") == "# one\n\n# two\n"


def test_a_tree_that_was_never_text_is_grouped_by_its_statements():
    def name(text):
        return s.Name(text, SPAN)

    call = s.Call(name("model"), (s.Argument(None, s.String("./a", SPAN), SPAN),), SPAN)
    function = s.Function(name("f"), (s.Parameter(name("m"), None, True, SPAN),), name("m"), "Says\n\nmuch.", SPAN)
    recipe = s.Recipe(
        (
            s.Seed(s.Number(7, "7", SPAN), SPAN),
            s.Binding(name("a"), call, SPAN),
            s.Binding(name("b"), call, SPAN),
            function,
            function,
            s.Save(name("a"), s.String('a "b"\t\u202e', SPAN), (), SPAN),
        ),
        SPAN,
    )
    assert format_recipe(recipe) == (
        "seed 7\n"
        "\n"
        'a = model("./a")\n'
        'b = model("./a")\n'
        "\n"
        "# Says\n"
        "#\n"
        "# much.\n"
        "fn f(*m) = m\n"
        "\n"
        "# Says\n"
        "#\n"
        "# much.\n"
        "fn f(*m) = m\n"
        "\n"
        'save a to "a \\"b\\"\\t\\u{202e}"\n'
    )
