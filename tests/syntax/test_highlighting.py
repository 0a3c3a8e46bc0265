"""Editors colour every word of a recipe as what the parser reads it as: no highlighter can drift from the grammar."""

import json
import re
from pathlib import Path

import pytest
from lark import Lark

from mergegraph.grammars import grammar_text
from mergegraph.lexer import RecipeLexer

ROOT = Path(__file__).parents[2]
RECIPES = sorted(
    [*(ROOT / "tests/fixtures/recipes").glob("*.merge"), *(ROOT / "tests/fixtures/syntax/trees").glob("*.merge")]
)
KEYWORDS = {"FN", "SELECT", "SAVE", "TO", "WITH", "FOR", "IN", "SEED", "IMPORT", "WILDCARD"}
CONSTANTS = {"TRUE", "FALSE", "NONE"}
STRING = r'"(?:\\.|[^"\\\n])*(?:"|$)'
OPERATORS = {"PLUS", "MINUS", "STAR", "SLASH", "COMPARISON", "RANGE", "EQUAL", "DOT", "OPTIONAL"}


def parsed(text):
    """Return what the parser takes each character of a text for."""
    comments = []
    parser = Lark(
        grammar_text("recipe.lark"),
        parser="lalr",
        start="recipe",
        keep_all_tokens=True,
        maybe_placeholders=False,
        lexer_callbacks={"COMMENT": comments.append},
    )
    kinds = [" "] * len(text)
    for token in [*parser.parse(text).scan_values(lambda _: True), *comments]:
        kinds[token.start_pos : token.end_pos] = [_kind(token)] * len(token)
    return kinds


def _kind(token):
    terminal = token.type
    if terminal == "SEED" and token.column > 1:
        return "n"  # a name, but at the head of a statement
    if terminal in KEYWORDS:
        return "k"
    if terminal in CONSTANTS:
        return "c"
    if terminal in OPERATORS:
        return "o"
    return {"COMMENT": "#", "STRING": '"', "NUMBER": "1", "NAME": "n", "LAYERS": "n"}.get(terminal, "p")


def coloured(text):
    """Return what the lexer of Pygments takes each character of a text for."""
    shown = {"Keyword": "k", "Operator": "o", "Comment": "#", "Name": "n", "Punctuation": "p"}
    kinds = []
    for token, part in RecipeLexer(stripnl=False, ensurenl=False).get_tokens(text):
        names = [*token]
        kind = "c" if "Constant" in names else '"' if "String" in names else "1" if "Number" in names else None
        kinds += [kind or shown.get(names[0] if names else "", " ")] * len(part)
    return kinds


def scoped(text):
    """Return what the TextMate grammar takes each character for: the leftmost match counts, of the first rule."""
    rules = json.loads((ROOT / "grammar" / "mergegraph.tmLanguage.json").read_text())["patterns"]
    matchers = [(re.compile(r.get("match", STRING), re.M), r) for r in rules]
    kinds, position = [" "] * len(text), 0
    while position < len(text):
        found = [(m.start(), i, m) for i, (p, _) in enumerate(matchers) if (m := p.search(text, position))]
        if not found:
            break
        _, index, match = min(found)
        rule = matchers[index][1]
        kinds[match.start() : match.end()] = [_scope(rule.get("name", ""))] * (match.end() - match.start())
        for group, capture in rule.get("captures", {}).items():
            start, end = match.span(int(group))
            kinds[start:end] = [_scope(capture["name"])] * (end - start)
        position = max(match.end(), position + 1)
    return kinds


def _scope(name):
    beginnings = {
        "comment": "#", "string": '"', "keyword.control": "k", "keyword.operator": "o", "constant.language": "c",
        "constant.numeric": "1", "variable": "n", "entity.name": "n", "support": "n", "punctuation": "p",
    }  # fmt: skip
    return next((kind for start, kind in beginnings.items() if name.startswith(start)), " ")


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
@pytest.mark.parametrize("highlight", [coloured, scoped])
def test_every_word_is_coloured_as_it_is_parsed(path, highlight):
    text = path.read_text(encoding="utf-8")
    expected, actual = parsed(text), highlight(text)
    differing = [i for i, c in enumerate(text) if not c.isspace() and expected[i] != actual[i]]
    assert not differing, (text[differing[0] - 20 : differing[0] + 20], expected[differing[0]], actual[differing[0]])


def test_half_a_string_ends_with_its_line():
    kinds = coloured('a = model("./a\nb = 3\n')
    assert kinds[15] == "n"
    assert scoped('a = model("./a\nb = 3\n')[15] == "n"
