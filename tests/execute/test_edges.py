"""What is not part of a merge is not read; what can't be merged is named; odd vectors give finite results."""

import pytest
import torch
from every_method import EXPRESSIONS, HEADER
from families import make_odd_family, read_model, write_model
from merging import merged, run

from mergegraph.diagnostics import MergeGraphError, render

WEIGHTED = {
    "linear(a, b, c, weight=[0.5, 0, 0.3])": "linear(a, c, weight=[0.5, 0.3])",
    "task_arithmetic(a, b, c, base=base, weight=[0.5, 0, 0.3])": "task_arithmetic(a, c, base=base, weight=[0.5, 0.3])",
    "ties(a, b, c, base=base, weight=[0.5, 0, 0.3])": "ties(a, c, base=base, weight=[0.5, 0.3])",
    "ties(a, b, c, base=base, density=[0.5, 0, 0.3])": "ties(a, c, base=base, density=[0.5, 0.3])",
    "dare_linear(a, b, base=base, density=[0.5, 0])": "dare_linear(a, base=base, density=0.5)",
    "della_linear(a, b, base=base, density=[0.5, 0])": "della_linear(a, base=base, density=0.5)",
    "della(a, b, c, base=base, weight=[0.5, 0, 0.3])": "della(a, c, base=base, weight=[0.5, 0.3])",
    "breadcrumbs(a, b, base=base, density=[0.5, 0])": "breadcrumbs(a, base=base, density=0.5)",
    "breadcrumbs_ties(a, b, base=base, density=0.5, weight=[1, 0])": "breadcrumbs_ties(a, base=base, density=0.5)",
    "nuslerp(a, b, weight=[0.6, 0])": "passthrough(a)",
    "nuslerp(b, a, weight=[0, 0.6], base=base)": "base + (a - base)",
    "multislerp(a, b, c, weight=[0.5, 0, 0.3])": "multislerp(a, c, weight=[0.5, 0.3])",
    "slerp(a, b, t=0)": "passthrough(a)",
    "slerp(b, a, t=1)": "passthrough(a)",
    "lerp(a, b, t=0)": "passthrough(a)",
    "task_arithmetic(a, b, base=base, lambda=0)": "passthrough(base)",
    "ties(a, b, base=base, lambda=0)": "passthrough(base)",
    "sce(a, b, base=base, select_topk=0)": "passthrough(base)",
    'select { "wide": ties(a, b, base=base), _: a }': 'select { "wide": ties(a, b, base=base), _: passthrough(a) }',
}


@pytest.fixture(scope="module")
def family(tmp_path_factory):
    """An odd family whose `b` is NaN throughout in a twin."""
    folder = tmp_path_factory.mktemp("family")
    folders = make_odd_family(folder)
    tensors = read_model(folders["b"]).items()
    write_model(
        folder / "poisoned", {n: torch.full_like(t, torch.nan) if t.is_floating_point() else t for n, t in tensors}
    )
    return folder


@pytest.mark.parametrize("expression", [e for e in WEIGHTED if not e.startswith(("select", "sce"))])
def test_what_has_no_weight_is_not_read(family, tmp_path, expression):
    """Compare with the merge without it, over a model that is NaN, and compare the bytes that are read."""
    text = HEADER.replace('"./b"', '"./poisoned"')
    without = run(family, f'{text}save {WEIGHTED[expression]} to "out"', tmp_path / "without")
    result = run(family, f'{text}save {expression} to "out"', tmp_path / "out")
    assert not result.warnings
    # The integers of all models are read, to see that they are equal: 72 bytes each.
    assert result.bytes_read - without.bytes_read <= 3 * 72
    expected = read_model(tmp_path / "without")
    for name, tensor in read_model(tmp_path / "out").items():
        assert torch.equal(tensor, expected[name]), name


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_odd_vectors_give_finite_results(family, tmp_path, expression):
    """Zero, parallel, antipodal and equal tensors, one element and none."""
    result = merged(family, f'{HEADER}save {expression} to "out"', tmp_path / "out")
    for name, tensor in result.items():
        assert torch.isfinite(tensor.double()).all(), name


def spoil(family, tmp_path, **tensors):
    """Write `a` with some tensors replaced as `spoiled`, and return the header that takes it for `a`."""
    write_model(tmp_path / "spoiled", read_model(family / "a") | tensors)
    return HEADER.replace('"./a"', f'"{tmp_path / "spoiled"}"')


@pytest.mark.parametrize("method", ["sce", "ram", "della_linear", "breadcrumbs_ties", "model_stock", "multislerp"])
def test_shapes_that_differ_are_named(family, tmp_path, method):
    header = spoil(family, tmp_path, matrix=torch.zeros(7, 6), column=torch.zeros(33))
    with pytest.raises(MergeGraphError) as caught:
        run(family, f'{header}save {method}(a, b, base=base) to "out"', tmp_path / "out")
    text = f'save {method}(a, b, base=base) to "out"'
    carets = "^" * (len(text) - len('save  to "out"'))
    assert str(caught.value) == (
        "error[MG301]: the shapes of 2 tensors differ: `column: [33, 1] and [33]`, `matrix: [7, 5] and [7, 6]`\n"
        "  ┌─ test.merge:6:6\n"
        f"6 │ {text}\n"
        f"  │      {carets}\n"
        '  = help: leave these tensors out: `select { "glob": base, _: … }`\n'
        "  = help: where models have other tokens, say which the output has: `save … with tokenizer=union(a, b)`"
    )


@pytest.mark.parametrize("expression", ["nearswap(base, a, t=0.1)", "arcee_fusion(base, a)", "karcher(a, b)"])
def test_integers_that_differ_are_named(family, tmp_path, expression):
    header = spoil(family, tmp_path, position_ids=torch.arange(9) + 1)
    with pytest.raises(MergeGraphError) as caught:
        run(family, f'{header}save {expression} to "out"', tmp_path / "out")
    assert str(caught.value) == (
        "error[MG541]: the tensor `position_ids` is not of a float type, and differs between the inputs\n"
        f"{place(header, expression)}"
        "  = help: no average of it means anything: take it from one model with `select`"
    )


def place(header, expression):
    """Return the lines of an error that show the `save` after `header`."""
    line, save = header.count("\n") + 1, f'save {expression} to "out"'
    return f"  ┌─ test.merge:{line}:1\n{line} │ {save}\n  │ {'^' * len(save)} for this output\n"


PROBLEMS = {
    "multislerp(a, b, weight=[0.5, -0.5])": (
        "the weights sum to 0, which no average can be divided by; `normalize_weights=false` does not divide"
    ),
    "della(a, base=base, density=0.9)": (
        "density 0.9 and epsilon 0.15 ask for probabilities from 0.75 to 1.05: they must lie between 0 and 1, "
        "both left out"
    ),
    "della_linear(a, base=base, density=0.1, epsilon=0.1)": (
        "density 0.1 and epsilon 0.1 ask for probabilities from 0 to 0.2: they must lie between 0 and 1, both left out"
    ),
}


@pytest.mark.parametrize("expression", PROBLEMS)
def test_numbers_that_make_no_sense(family, tmp_path, expression):
    with pytest.raises(MergeGraphError) as caught:
        run(family, f'{HEADER}save {expression} to "out"', tmp_path / "out")
    assert str(caught.value) == (
        f"error[MG323]: {PROBLEMS[expression]}\n"
        "  ┌─ test.merge:6:6\n"
        f'6 │ save {expression} to "out"\n'
        f"  │      {'^' * len(expression)}\n"
        "  = help: first for the tensor `antipodal`"
    )


ARITIES = {
    "nuslerp(a, b, c)": (
        "a weighted slerp goes between two models, not 3",
        "for more of them write `multislerp(…)`",
    ),
    "model_stock(a, base=base)": (
        "this compares models with each other, and there is only one",
        "give at least two",
    ),
}


@pytest.mark.parametrize("expression", ARITIES)
def test_too_many_or_too_few_models(family, tmp_path, expression):
    message, help = ARITIES[expression]
    with pytest.raises(MergeGraphError) as caught:
        run(family, f'{HEADER}save {expression} to "out"', tmp_path / "out")
    assert str(caught.value) == (
        f"error[MG221]: {message}\n"
        "  ┌─ test.merge:6:6\n"
        f'6 │ save {expression} to "out"\n'
        f"  │      {'^' * len(expression)}\n"
        f"  = help: {help}"
    )


def test_scores_that_are_not_finite_are_an_error_that_names_the_tensor(family, tmp_path):
    header = spoil(family, tmp_path, matrix=torch.full((7, 5), torch.nan))
    with pytest.raises(MergeGraphError) as caught:
        run(family, f'{header}save arcee_fusion(base, a) to "out"', tmp_path / "out")
    assert str(caught.value) == (
        "error[MG454]: 35 of the scores are NaN or infinite, so that they have no quantiles\n"
        "  --> `matrix`\n"
        f"{place(header, 'arcee_fusion(base, a)')}"
        "  = help: an input has such elements, or its values overflow"
    )


SPOILED = ("vector", "matrix")


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("expression", [e for e in EXPRESSIONS if "where" not in e])
def test_what_is_not_finite_is_reported(tmp_path, expression, value):
    """Put one such element into two tensors of `a`: each is in a warning with a count, or one is in the error.

    A `where` that does not choose an element is the exception: that is what it is for.
    """
    family = make_odd_family(tmp_path)
    tensors = read_model(family["a"])
    for name in SPOILED:
        tensors[name].view(-1)[7] = value
    write_model(tmp_path / "spoiled", tensors)
    text = HEADER.replace('"./a"', '"./spoiled"')
    try:
        found = run(tmp_path, f'{text}save {expression} to "out"', tmp_path / "out").warnings
    except MergeGraphError as error:
        found = error.diagnostics
    reports = "\n".join(render(diagnostic) for diagnostic in found)
    assert any(f"`{name}`" in reports for name in SPOILED), reports
    if "error" not in reports:
        assert all(f"`{name}`" in reports for name in SPOILED), reports
