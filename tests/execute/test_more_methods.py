"""The methods beyond averages, TIES and DARE against naive float64 references, and against mergekit's outputs."""

import golden
import method_references as more
import numpy as np
import pytest
import references as ref
from families import as64, make_odd_family, read_model
from merging import merged

MODELS = """
base = model("./base")
a = model("./a")
b = model("./b")
c = model("./c")
"""

CASES = {
    'slerp(a, b, t=0.3, axis="rows")': lambda base, a, b, c: more.slerp_along(a, b, 0.3, "rows"),
    'slerp(a, b, t=0.3, axis="columns")': lambda base, a, b, c: more.slerp_along(a, b, 0.3, "columns"),
    "nuslerp(a, b, weight=[0.6, 0.5])": lambda base, a, b, c: more.nuslerp(a, b, (0.6, 0.5)),
    "nuslerp(a, b, weight=[0.6, 0.5], base=base)": lambda base, a, b, c: more.nuslerp(a, b, (0.6, 0.5), base),
    "nuslerp(a, b, weight=[0.6, 0.5], base=base, flatten=false)": lambda base, a, b, c: more.nuslerp(
        a, b, (0.6, 0.5), base, "rows"
    ),
    "nuslerp(a, b, weight=[0.6, 0.5], base=base, flatten=false, row_wise=true)": lambda base, a, b, c: more.nuslerp(
        a, b, (0.6, 0.5), base, "columns"
    ),
    'nuslerp(a, b, weight=[0.5, -0.5], axis="rows")': lambda base, a, b, c: more.nuslerp(
        a, b, (0.5, -0.5), None, "rows"
    ),
    "multislerp(a, b, c, weight=[0.5, 0.3, 0.4])": lambda base, a, b, c: more.multislerp([a, b, c], [0.5, 0.3, 0.4]),
    "multislerp(a, b, c, weight=[0.5, 0.3, 0.4], base=base, normalize_weights=false)": lambda base, a, b, c: (
        more.multislerp([a, b, c], [0.5, 0.3, 0.4], base, normalize_weights=False)
    ),
    "karcher(a, b, c)": lambda base, a, b, c: more.karcher([a, b, c]),
    "karcher(a, b, max_iter=3, tol=0.001)": lambda base, a, b, c: more.karcher([a, b], 3, 1e-3),
    "model_stock(a, b, c, base=base)": lambda base, a, b, c: more.model_stock([a, b, c], base),
    "model_stock(a, b, c, base=base, filter_wise=true)": lambda base, a, b, c: more.model_stock([a, b, c], base, True),
    "nearswap(base, a, t=0.001)": lambda base, a, b, c: more.nearswap(base, a, 0.001),
    "arcee_fusion(base, a)": lambda base, a, b, c: more.arcee_fusion(base, a),
    "breadcrumbs(a, b, base=base, weight=0.8, density=[0.9, 0.7], gamma=[0.01, 0.1])": lambda base, a, b, c: (
        more.breadcrumbs([a, b], base, 0.8, [0.9, 0.7], [0.01, 0.1])
    ),
    "breadcrumbs_ties(a, b, c, base=base, density=0.3, gamma=0.9)": lambda base, a, b, c: more.breadcrumbs(
        [a, b, c], base, 1, 0.3, 0.9, False, ref.elect
    ),
    "sce(a, b, c, base=base, select_topk=0.4)": lambda base, a, b, c: more.sce([a, b, c], base, 0.4),
    "sce(a, b, base=base)": lambda base, a, b, c: more.sce([a, b], base),
    "ram(a, b, c, base=base)": lambda base, a, b, c: more.ram([a, b, c], base),
    "ramplus_tl(a, b, c, base=base, epsilon=0.001, r=0.5)": lambda base, a, b, c: more.ram(
        [a, b, c], base, 1e-3, 0.5, 0.2
    ),
}


def undecided(expression, base, a, b, c):
    """Mark the elements whose choice hangs on rounding."""
    if expression.startswith("arcee"):
        scores = more.importance(a, base)
        return np.abs(scores - more.iqr_limit(scores)) < 1e-5 * scores if scores.size else np.zeros(base.shape, bool)
    if expression.startswith(("breadcrumbs_ties", "sce")):
        return ref.near_tie(more.deltas([a, b, c] if "c," in expression else [a, b], base)) | boundary(
            expression, base, a, b, c
        )
    return None


def boundary(expression, base, a, b, c):
    """Mark the elements whose variance is about that of the last one that is kept."""
    if "0.4" not in expression or base.size == 0:
        return np.zeros(base.shape, bool)
    variance = more.pairwise_variance(more.deltas([a, b, c], base))
    kept = variance[more.variance_mask(more.deltas([a, b, c], base), 0.4)]
    return np.abs(variance - kept.min(initial=np.inf)) < 1e-6 * variance


def terms(expression, base, *models):
    """Return what is added up: for Model Stock, the base and the mean times their shares, which may exceed 1."""
    if not expression.startswith("model_stock"):
        return [base, *models]
    share = more.stock_ratios(more.deltas(models, base), "filter_wise" in expression)
    return [base, *models, (1 - share) * base, *(share * x for x in models)]


def assert_equals_reference(result, models, expression):
    """Compare every float tensor of a merge with the reference of its expression."""
    for name, tensor in result.items():
        if not tensor.is_floating_point():
            assert (tensor == models[0][name]).all()
            continue
        inputs = [as64(model[name]) for model in models]
        skip = undecided(expression, *inputs)
        ref.assert_close(
            tensor, CASES[expression](*inputs), terms(expression, *inputs), skip=skip, name=f"{expression}: {name}"
        )


@pytest.mark.parametrize("expression", CASES)
@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_reference(tmp_path, dtype, expression):
    family = make_odd_family(tmp_path, dtype=dtype)
    models = [read_model(folder) for folder in family.values()]
    result = merged(tmp_path, f'{MODELS}save {expression} to "out"', tmp_path / "out")
    assert result.keys() == models[0].keys()
    assert_equals_reference(result, models, expression)


GOLDEN = {
    "arcee_fusion": "arcee_fusion(a, b)",
    "breadcrumbs": "breadcrumbs(a, b, base=base, weight=0.8, density=[0.9, 0.7], gamma=[0.05, 0.1], normalize=true)",
    "breadcrumbs_ties": (
        "breadcrumbs_ties(a, b, base=base, weight=[0.8, 0.9], density=[0.5, 0.6], gamma=0.05, normalize=true)"
    ),
    "karcher": "karcher(a, b, c)",
    "model_stock": "model_stock(a, b, c, base=base)",
    "model_stock_filter_wise": "model_stock(a, b, c, base=base, filter_wise=true)",
    "multislerp": "multislerp(a, b, c, weight=[0.5, 0.3, 0.4])",
    "multislerp_base": "multislerp(a, b, c, weight=[0.5, 0.3, 0.4], base=base)",
    "nearswap": "nearswap(base, a, t=0.001)",
    "nuslerp": "nuslerp(a, b, weight=[0.6, 0.5], base=base)",
    "nuslerp_last_axis": "nuslerp(a, b, weight=[0.6, 0.5], base=base, flatten=false)",
    "nuslerp_row_wise": "nuslerp(a, b, weight=[0.6, 0.5], base=base, flatten=false, row_wise=true)",
    "nuslerp_models": "nuslerp(a, b, weight=[0.6, 0.5])",
    "ram": "ram(a, b, c, base=base, epsilon=0.001)",
    "ramplus_tl": "ramplus_tl(a, b, c, base=base, epsilon=0.001, r=0.1, alpha=0.2)",
    "sce": "sce(a, b, c, base=base, select_topk=0.4)",
}


@pytest.mark.parametrize("name", GOLDEN)
def test_mergekit(tmp_path, name):
    golden.assert_golden(merged(golden.GOLDEN, f'{MODELS}save {GOLDEN[name]} to "out"', tmp_path / "out"), name)
