"""Random Syntax trees, and their comparison without spans."""

from dataclasses import fields, is_dataclass

from hypothesis import strategies as st

from mergegraph.diagnostics import Source, Span
from mergegraph.syntax import nodes as s

SPAN = Span(Source("random", ""), 0, 0)
KEYWORDS = {"fn", "select", "save", "to", "with", "for", "in", "seed", "import", "true", "false", "none", "_"}


def bare(node):
    """Return a tree as nested tuples, without spans."""
    if isinstance(node, tuple):
        return tuple(map(bare, node))
    if not is_dataclass(node):
        return node
    return type(node).__name__, *(bare(getattr(node, f.name)) for f in fields(node) if f.name != "span")


def _number(text):
    return s.Number(float(text), text, SPAN)


words = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,12}", fullmatch=True).filter(lambda word: word not in KEYWORDS)
targets = st.builds(s.Name, words, st.just(SPAN))
names = st.builds(s.Name, st.one_of(words, st.just("seed")), st.just(SPAN))
wholes = st.integers(0, 99).map(lambda n: _number(str(n)))
numbers = st.one_of(wholes, st.sampled_from(["0.5", "1e-3", "2.5E+7", "1_000", "00.10"]).map(_number))
letters = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
strings = st.builds(s.String, st.text(letters, max_size=12), st.just(SPAN))
constants = st.builds(s.Constant, st.sampled_from([True, False, None]), st.just(SPAN))
operators = st.sampled_from(["+", "-", "*", "/", "<", "<=", ">", ">=", "==", "!="])


def _several(strategy, size=4):
    return st.lists(strategy, max_size=size).map(tuple)


def _arguments(values):
    positional = _several(st.builds(s.Argument, st.none(), values, st.just(SPAN)))
    named = _several(st.builds(s.Argument, names, values, st.just(SPAN)))
    return st.tuples(positional, named).map(lambda both: both[0] + both[1])


def _composed(values):
    cases = st.builds(s.Case, st.one_of(st.none(), strings), values, st.just(SPAN))
    return st.one_of(
        st.builds(s.List, _several(values), st.just(SPAN)),
        st.builds(s.Call, names, _arguments(values), st.just(SPAN)),
        st.builds(s.Negative, values, st.just(SPAN)),
        st.builds(s.Binary, operators, values, values, st.just(SPAN)),
        st.builds(s.Select, _several(cases), st.just(SPAN)),
        st.builds(s.LayerRange, values, st.one_of(st.none(), strings), wholes, wholes, st.just(SPAN)),
    )


expressions = st.recursive(st.one_of(names, numbers, strings, constants), _composed, max_leaves=12)
parameters = st.one_of(
    st.builds(s.Parameter, names, st.one_of(st.none(), expressions), st.just(False), st.just(SPAN)),
    st.builds(s.Parameter, names, st.none(), st.just(True), st.just(SPAN)),
)
comment_lines = st.text(letters.filter(str.isprintable), max_size=20).map(str.rstrip)
comments = st.lists(comment_lines, max_size=3).map("\n".join)
options = _several(st.builds(s.Argument, names, expressions, st.just(SPAN)))
saves = st.builds(s.Save, expressions, strings, options, st.just(SPAN))
statements = st.one_of(
    st.builds(s.Binding, targets, expressions, st.just(SPAN)),
    st.builds(s.Function, targets, _several(parameters), expressions, comments, st.just(SPAN)),
    saves,
    st.builds(s.For, targets, expressions, saves, st.just(SPAN)),
    st.builds(s.Seed, numbers, st.just(SPAN)),
    st.builds(s.Import, strings, st.just(SPAN)),
)
recipes = st.builds(s.Recipe, _several(statements, 6), st.just(SPAN))
