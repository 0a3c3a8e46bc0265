"""What the language takes, where its parts are, and what it costs to read them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from syntax_trees import bare

from mergegraph.diagnostics import MergeGraphError
from mergegraph.syntax import nodes as s
from mergegraph.syntax.format import format_text
from mergegraph.syntax.parse import MAX_BYTES, parse
from mergegraph.syntax.print import print_syntax, syntax_json

RECIPES = sorted((Path(__file__).parents[1] / "fixtures" / "recipes").glob("*.merge"))


def value(text):
    """Return the Syntax of one expression."""
    (binding,) = parse(f"x = {text}", "value").statements
    return binding.value


def errors(text):
    """Return what is shown of the mistakes in a text."""
    with pytest.raises(MergeGraphError) as caught:
        parse(text, "recipe.merge")
    return str(caught.value)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_each_statement_of_a_recipe_begins_its_own_line(path):
    recipe = parse(path.read_text(encoding="utf-8"), path.name)
    source = recipe.span.source
    assert [source.place(statement.span.start)[1] for statement in recipe.statements] == [1] * len(recipe.statements)


@pytest.mark.parametrize("text", ["", "\n", "\ufeff", "# nothing", " \t\r\n"])
def test_a_text_without_statements_is_an_empty_recipe(text):
    assert parse(text, "empty").statements == ()


def test_line_ends_of_windows_tabs_and_the_mark_of_byte_order_change_nothing():
    plain = "# one\nsave mean(\n  a,\n  b) to 'x'\n".replace("'", '"')
    windows = "\ufeff" + plain.replace("\n", "\r\n").replace("  ", "\t")
    assert bare(parse(windows, "w").statements) == bare(parse(plain, "p").statements)


def test_line_ends_inside_a_statement_mean_nothing():
    assert bare(value("f\n(\na\n,\nb\n=\n-\n1\n)\n.\nlayers\n[\n0\n..\n2\n]")) == bare(value("f(a, b=-1).layers[0..2]"))


def test_spans_cover_what_was_written():
    call = value('f(a, (b + c) * 2, key = select { "*": -1 })')
    product, named = call.arguments[1].value, call.arguments[2]
    assert [argument.span.text for argument in call.arguments] == ["a", "(b + c) * 2", 'key = select { "*": -1 }']
    assert (product.left.span.text, product.right.span.text) == ("(b + c)", "2")
    assert (named.name.span.text, named.value.cases[0].span.text) == ("key", '"*": -1')


def test_words_that_are_reserved_elsewhere_name_what_they_like():
    call = value("layers(model, stack=ramp, lambda=1, seed=seed, __=_a)")
    assert [argument.name.name for argument in call.arguments[1:]] == ["stack", "lambda", "seed", "__"]
    assert call.arguments[3].value.name == "seed"


@pytest.mark.parametrize(
    ("text", "number"), [("0", 0), ("1_000.5", 1000.5), ("1e-3", 0.001), ("2E+2", 200), ("007", 7)]
)
def test_numbers_keep_their_spelling(text, number):
    assert (value(text).value, value(text).text) == (number, text)


def test_escapes_of_strings_are_resolved():
    assert value(r'"\"\\\n\t\u{e9}\u{1F600} # {t}"').value == '"\\\n\té😀 # {t}'


def test_the_comment_of_a_function_is_the_block_right_above_it():
    above = "# about the file\n\n#  TIES:\n#\n#trim\n"
    text = above + "fn f(a) = a  # not this\n# nor this\n\nfn g(a) = a\nx = 1 # nor this\nfn h(a) = a"
    functions = [statement for statement in parse(text, "f").statements if isinstance(statement, s.Function)]
    assert [function.comment for function in functions] == [" TIES:\n\ntrim", "", ""]


@pytest.mark.parametrize("opener", ["(", "[", "f(", "f(b=", "select { _: ", "-", "a * ("])
def test_a_hundred_levels_can_be_read_written_and_printed(opener):
    end = "".join({"(": ")", "[": "]", "{": "}"}.get(character, "") for character in opener)
    text = f"x = {opener * 100}a{end * 100}\n"
    recipe = parse(text, "deep")
    assert bare(parse(format_text(text, "deep"), "deep").statements) == bare(recipe.statements)
    assert print_syntax(recipe).count("name a") == json.dumps(syntax_json(recipe)).count('"name": "a"')
    assert "error[MG115]: this is nested more than 100 deep" in errors(f"x = {opener * 101}a{end * 101}\n")


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("x = " + "(" * 100_000, 105),
        ("x = " + "f(" * 100_000, 206),
        ("x = " + "-" * 100_000 + "a", 105),
        ("x = " + "a+" * 100_000 + "a", 206),
        ("x = a" + ".layers[0..1]" * 10_000, 1306),
        ("x = " + "(" * 100_000 + "a" + ")" * 100_000, 105),
    ],
    ids=["brackets", "calls", "signs", "sum", "layers", "closed"],
)
def test_a_hundred_thousand_levels_are_refused_at_the_first_too_many(text, column):
    header, place, line, carets, help_line = errors(text).split("\n")
    assert header == "error[MG115]: this is nested more than 100 deep"
    assert place == f"  ┌─ recipe.merge:1:{column}"
    assert carets.strip(" │") == "^"
    assert line[: carets.index("^") + 1].endswith(text[:column][-50:])
    assert len(line) < 250
    assert help_line == "  = help: give an inner part a name of its own: `part = …`"


def test_a_text_beyond_the_limit_is_refused():
    parse("#" * MAX_BYTES, "just fits")
    assert errors("#" * MAX_BYTES + "\n") == (
        "error[MG116]: the recipe has 1,048,577 bytes; at most 1,048,576 are read\n"
        "  --> recipe.merge\n"
        "  = help: is it a recipe at all?"
    )
    assert "has 1,048,578 bytes" in errors("é" * (MAX_BYTES // 2 + 1))


@pytest.mark.parametrize(
    ("character", "shown", "name", "help"),
    [
        ("\0", r"\x00", "U+0000 (control character)", "remove it"),
        ("\x1b", r"\x1b", "U+001B (control character)", "remove it"),
        ("\u202e", r"\u202e", "U+202E (RIGHT-TO-LEFT OVERRIDE)", r"in a string, write it as `\u{202e}`"),
        ("\u2066", r"\u2066", "U+2066 (LEFT-TO-RIGHT ISOLATE)", r"in a string, write it as `\u{2066}`"),
        ("\u2028", r"\u2028", "U+2028 (LINE SEPARATOR)", r"in a string, write it as `\u{2028}`"),
        ("\ufeff", r"\ufeff", "U+FEFF (ZERO WIDTH NO-BREAK SPACE)", "remove it"),
        ("\ud800", r"\ud800", "U+D800 (control character)", "remove it"),
    ],
)
@pytest.mark.parametrize("text", ['a = "x{}y"', "a = 1 # x{}y", "a = x{}y"])
def test_hidden_characters_are_refused_in_strings_and_comments_too(text, character, shown, name, help):
    column = text.index("{}") + 1
    assert errors(text.format(character)) == (
        f"error[MG108]: a hidden character: {name}\n"
        f"  ┌─ recipe.merge:1:{column}\n"
        f"1 │ {text.format(shown)}\n"
        f"  │ {' ' * (column - 1)}{'^' * len(shown)}\n"
        f"  = help: {help}"
    )


def test_a_hidden_character_does_not_hide_the_mistakes_of_other_lines():
    shown = errors("a = \u202e )\nb = )\nc = 1 # \0\0\rd\n")
    assert [line for line in shown.split("\n") if "┌─" in line] == [
        "  ┌─ recipe.merge:1:5",
        "  ┌─ recipe.merge:2:5",
        "  ┌─ recipe.merge:3:9",
    ]


def test_the_parser_is_not_built_before_it_is_needed():
    program = (
        "import sys, mergegraph, mergegraph.syntax.parse, mergegraph.syntax.format; assert 'lark' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
