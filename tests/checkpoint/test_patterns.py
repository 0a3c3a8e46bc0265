"""Regular expressions match what Python's do, and none takes long."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mergegraph.checkpoint.patterns import Unsupported, compiled

ATOMS = st.sampled_from(
    ["a", "b", ".", r"\.", "[ab]", "[^a]", r"[\].]", r"\w", r"\d", "^", "$", "{", "a{2}", "b{,2}", "a{1,}?", "a{1}?"]
)


def larger(inner):
    repeated = st.tuples(inner, st.sampled_from(["*", "+", "?", "{0,2}", "{2}", "*?"])).map(lambda x: f"({x[0]}){x[1]}")
    several = st.lists(inner, min_size=1, max_size=3)
    return repeated | several.map("".join) | several.map(lambda x: f"(?:{'|'.join(x)})") | several.map("|".join)


@given(st.recursive(ATOMS, larger, max_leaves=6), st.lists(st.text("ab.0", max_size=6), min_size=1, max_size=5))
def test_matches_are_those_of_re(pattern, texts):
    for text in texts:
        assert compiled(pattern)(text) == (re.fullmatch(pattern, text) is not None), text


@pytest.mark.parametrize("pattern", ["(a+)+b", "(a|a)*b", "(a*)*(a*)*b", ".*" * 100 + "b", "(a?){200}a{200}b"])
def test_what_would_never_end_ends(pattern):
    start = time.monotonic()
    assert not compiled(pattern)("a" * 200)
    assert time.monotonic() - start < 10


@pytest.mark.parametrize("pattern", ["a(?=b)", r"(a)\1", "(?i)a", r"a\b", "a++b", "((a{1000}){1000})", "(?<!a)b"])
def test_what_needs_more_is_refused(pattern):
    with pytest.raises(Unsupported):
        compiled(pattern)
