"""The pipeline as a whole: one round of its passes is a fixpoint, and rules without one are found out."""

from dataclasses import replace
from pathlib import Path

import pytest
from families import make_family

from mergegraph.compiler import Compilation
from mergegraph.diagnostics import Source
from mergegraph.dtypes import FLOAT32
from mergegraph.ir.graph import const, input_leaf
from mergegraph.ir.types import TensorType
from mergegraph.ops import OPS
from mergegraph.ops.negate import negate
from mergegraph.ops.scale import scale
from mergegraph.optimize.expand import expand
from mergegraph.optimize.pipeline import optimize
from mergegraph.optimize.rules import Pattern, Rule, Variable, apply_first, pattern

RECIPES = sorted((Path(__file__).parent.parent / "fixtures" / "recipes").glob("*.merge"))
LATER = ("adapters", "study", "tokenizers")
X = input_leaf(0, TensorType(FLOAT32, (4,)))


@pytest.fixture(scope="module")
def family(tmp_path_factory):
    folder = tmp_path_factory.mktemp("family")
    make_family(folder, layers=32, hidden=16, intermediate=24, vocab=40, heads=2, kv_heads=1)
    return folder


@pytest.mark.parametrize("path", [p for p in RECIPES if p.stem not in LATER], ids=lambda path: path.stem)
def test_a_second_round_of_the_passes_changes_nothing(family, path):
    once = Compilation(Source(path.name, path.read_text()), family).optimized
    assert optimize(once)[0] == once


def test_rules_that_never_stop_fitting_are_reported():
    x = Variable("x")
    endless = (pattern("negate", x) >> x, Rule(Pattern("const", (), ()), 1.0))
    assert apply_first(endless, negate(X)) is X
    with pytest.raises(RuntimeError, match=r"\Athe rewrite rules do not converge on const\Z"):
        apply_first(endless, const(2.0))


def test_a_definition_in_terms_of_itself_is_reported(monkeypatch):
    scaled = scale(X, 0.5)
    monkeypatch.setitem(OPS, scaled.op, replace(OPS[scaled.op], primitive=False, definition=scale))
    with pytest.raises(RuntimeError, match=r"\Athe definition of scale does not end in primitive operations\Z"):
        expand(scaled)
