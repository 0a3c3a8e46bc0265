"""Every Syntax can be written and read back; every text can be laid out once and for all."""

import re
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from syntax_trees import bare, recipes

from mergegraph.syntax.format import format_recipe, format_text
from mergegraph.syntax.parse import parse, parse_with_trivia

WORD = re.compile(
    r"""
      "(?:[^"\\\n]|\\.)*"
    | [0-9]+(?:_[0-9]+)*(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?
    | \w+ | \.\. | [<>=!]= | \S
    """,
    re.VERBOSE,
)
GAPS = [" ", " ", " ", "\n ", "\n\n\n ", "\t", "  # one\n ", "\n  #two \n ", " # three\r\n\n # four\n "]


@settings(max_examples=100, deadline=None)
@given(recipes)
def test_a_random_syntax_is_read_back_from_its_text(recipe):
    text = format_recipe(recipe)
    assert bare(parse(text, "random").statements) == bare(recipe.statements)
    assert format_text(text, "random") == text


@settings(max_examples=100, deadline=None)
@given(recipes, st.integers(0, 2**32))
def test_a_text_with_comments_anywhere_is_laid_out_once_and_for_all(recipe, seed):
    chance = Random(seed)
    text = "".join(f"{_scattered(line, chance)}\n" for line in _one_line_each(recipe))
    syntax, trivia = parse_with_trivia(text, "scattered")
    once = format_recipe(syntax, trivia)
    again, its_trivia = parse_with_trivia(once, "once")
    assert _without_comments(again) == _without_comments(recipe)
    assert _comments(its_trivia) == _comments(trivia)
    assert format_recipe(again, its_trivia) == once


def _one_line_each(recipe):
    for statement in recipe.statements:
        text = format_recipe(type(recipe)((statement,), recipe.span))
        yield " ".join(line for line in text.split("\n") if not line.startswith("#"))


def _scattered(line, chance):
    """Put random gaps between the words of a statement, and commas at the end of some lists and selects."""
    words = WORD.findall(line)
    gaps = chance.choices(GAPS, k=len(words))
    for i, word in enumerate(words):
        if word in "]}" and words[i - 1] not in "[{," and words[i - 2] != ".." and chance.random() < 0.2:
            gaps[i - 1] = f"{gaps[i - 1]},"
    return "".join(word + gap for word, gap in zip(words, gaps, strict=True)).rstrip(" \t")


def _comments(trivia):
    return sorted(comment.text.rstrip() for comment in trivia.comments)


def _without_comments(recipe):
    return [part[:4] if part[0] == "Function" else part for part in bare(recipe.statements)]
