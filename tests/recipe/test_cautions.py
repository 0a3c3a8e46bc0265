"""Warnings about numbers that are allowed and hardly meant."""

from pathlib import Path

from merging import compilation

from mergegraph.diagnostics import render

MODELS = 'base = model("./base")\na = model("./a")\nb = model("./b")\n'


def warnings(expression):
    found = compilation(Path("."), f'{MODELS}save {expression} to "out"').recipe.warnings
    return [render(warning) for warning in found]


def test_a_band_that_keeps_all():
    assert warnings("breadcrumbs(a, b, base=base)") == [
        "warning[MG262]: density 1 keeps all elements, so that `gamma` drops none\n"
        "  ┌─ test.merge:4:6\n"
        '4 │ save breadcrumbs(a, b, base=base) to "out"\n'
        "  │      ^^^^^^^^^^^^^^^^^^^^^^^^^^^^"
    ]


def test_a_band_that_drops_something():
    assert warnings("breadcrumbs(a, b, base=base, density=[0.9, 0.8])") == []
    assert warnings("breadcrumbs_ties(a, b, base=base, gamma=0)") == []
    assert warnings('breadcrumbs(a, b, base=base, density=select { "*.mlp.*": 0.5, _: 1 })') == []
