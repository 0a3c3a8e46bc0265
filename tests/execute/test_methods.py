"""Merged tensors against naive float64 references, and against mergekit's outputs."""

import golden
import numpy as np
import pytest
import references as ref
from families import as64, make_family, make_odd_family, read_model
from merging import merged

MODELS = """
base = model("./base")
a = model("./a")
b = model("./b")
c = model("./c")
"""

CASES = {
    "linear(a, b, c)": lambda base, a, b, c: ref.linear([a, b, c]),
    "linear(a, b, c, weight=[0.8, 0.7, 0.25])": lambda base, a, b, c: ref.linear([a, b, c], [0.8, 0.7, 0.25]),
    "linear(a, b, weight=[0.8, 0.7], normalize=false)": lambda base, a, b, c: ref.linear([a, b], [0.8, 0.7], False),
    "0.6*a + 0.4*b": lambda base, a, b, c: ref.linear([a, b], [0.6, 0.4]),
    "lerp(a, b, t=0.3)": lambda base, a, b, c: ref.lerp(a, b, 0.3),
    "slerp(a, b, t=0.3)": lambda base, a, b, c: ref.slerp(a, b, 0.3),
    "slerp(a, base, t=0.9)": lambda base, a, b, c: ref.slerp(a, base, 0.9),
    "task_arithmetic(a, b, base=base, weight=[0.6, 0.4], lambda=0.9)": lambda base, a, b, c: ref.task_arithmetic(
        [a, b], base, [0.6, 0.4], 0.9
    ),
    "task_arithmetic(a, b, c, base=base, weight=[1, 0.5, 0.25], normalize=true)": lambda base, a, b, c: (
        ref.task_arithmetic([a, b, c], base, [1, 0.5, 0.25], normalize=True)
    ),
    "ties(a, b, c, base=base, density=0.5)": lambda base, a, b, c: ref.ties([a, b, c], base, density=0.5),
    "ties(a, b, base=base, weight=[0.8, 0.7], density=[0.3, 0.9], normalize=false, lambda=0.7)": lambda base, a, b, c: (
        ref.ties([a, b], base, [0.8, 0.7], [0.3, 0.9], 0.7, normalize=False)
    ),
    "ties(a, b, c, base=base)": lambda base, a, b, c: ref.ties([a, b, c], base),
    'base + elect([a, b, c] - base, by="count")': lambda base, a, b, c: (
        base + ref.elect([ref.difference(x, base) for x in (a, b, c)], by="count")
    ),
    "passthrough(a, scale=0.75)": lambda base, a, b, c: ref.passthrough(a, 0.75),
}


def assert_equals_reference(result, models, expression):
    """Compare every float tensor of a merge with the reference of its expression."""
    for name, tensor in result.items():
        if not tensor.is_floating_point():
            assert (tensor == models[0][name]).all()
            continue
        inputs = [as64(model[name]) for model in models]
        deltas = [ref.difference(x, inputs[0]) for x in inputs[1:]]
        skip = ref.near_tie(deltas) | ref.near_tie(deltas, [0.8, 0.7, 0.0]) if "base=" in expression else None
        ref.assert_close(tensor, CASES[expression](*inputs), inputs, skip=skip, name=f"{expression}: {name}")


@pytest.mark.parametrize("expression", CASES)
@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_reference(tmp_path, dtype, expression):
    family = make_odd_family(tmp_path, dtype=dtype)
    models = [read_model(folder) for folder in family.values()]
    result = merged(tmp_path, f'{MODELS}save {expression} to "out"', tmp_path / "out")
    assert result.keys() == models[0].keys()
    assert_equals_reference(result, models, expression)


@pytest.mark.parametrize("expression", ["ties(a, b, c, base=base, density=0.5)", "slerp(a, b, t=0.3)"])
def test_reference_over_many_tiles(tmp_path, expression):
    family = make_family(tmp_path, layers=1, hidden=320, intermediate=704, vocab=512, dtype="bfloat16")
    models = [read_model(folder) for folder in family.values()]
    result = merged(tmp_path, f'{MODELS}save {expression} to "out"', tmp_path / "out")
    assert max(tensor.numel() for tensor in result.values()) > 3 * 65_536
    assert_equals_reference(result, models, expression)


GOLDEN = {
    "linear": "linear(a, b, c, weight=[0.8, 0.7, 0.25])",
    "linear_sum": "linear(a, b, weight=[0.8, 0.7], normalize=false)",
    "task_arithmetic": "task_arithmetic(a, b, base=base, weight=[0.6, 0.4], lambda=0.9)",
    "slerp": "slerp(a, b, t=0.3)",
    "ties": "ties(a, b, base=base, weight=[0.8, 0.7], density=0.5)",
    "ties_three": "ties(a, b, c, base=base, weight=[0.8, 0.7, 0.4], density=[0.3, 0.5, 0.9], lambda=0.8, "
    "normalize=false)",
}


@pytest.mark.parametrize("name", GOLDEN)
def test_mergekit(tmp_path, name):
    golden.assert_golden(merged(golden.GOLDEN, f'{MODELS}save {GOLDEN[name]} to "out"', tmp_path / "out"), name)


DROPPED = MODELS + 'seed 3\nsave base + drop(a - base, density=0.3{rescale}) to "out"'


@pytest.fixture
def wide(tmp_path):
    """A family with tensors of many elements, and no delta of zero."""
    return make_family(tmp_path, layers=2, hidden=256, intermediate=512, dtype="float32", ties=False)


def deltas_of(out, base):
    return {name: as64(tensor) - as64(base[name]) for name, tensor in out.items()}


def test_drop_keeps_its_fraction_and_no_mask_twice(tmp_path, wide):
    base, a = read_model(wide["base"]), read_model(wide["a"])
    out = merged(tmp_path, DROPPED.format(rescale=""), tmp_path / "out")
    other = merged(tmp_path, DROPPED.format(rescale="").replace("drop(a", "drop(b"), tmp_path / "other")
    masks = {name: delta != 0 for name, delta in deltas_of(out, base).items()}
    for name, mask in masks.items():
        sigma = np.sqrt(0.3 * 0.7 / mask.size)
        assert abs(mask.mean() - 0.3) < 4 * sigma, name
        assert np.allclose(as64(out[name])[mask], as64(a[name])[mask], atol=1e-7)
    kinds = [m for n, m in masks.items() if "mlp.up_proj" in n or "mlp.gate_proj" in n]
    others = [d != 0 for n, d in deltas_of(other, base).items() if "mlp.up_proj" in n]
    for one, two in [(x, y) for x in kinds for y in [*kinds, *others] if x is not y]:
        agree = (one & two).mean()
        assert abs(agree - 0.09) < 4 * np.sqrt(0.09 * 0.91 / one.size)


@pytest.mark.parametrize("rescale", ["l1", "inverse"])
def test_drop_rescales(tmp_path, wide, rescale):
    base, a = read_model(wide["base"]), read_model(wide["a"])
    out = merged(tmp_path, DROPPED.format(rescale=f', rescale="{rescale}"'), tmp_path / "out")
    for name, tensor in out.items():
        d = ref.difference(as64(a[name]), as64(base[name]))
        mask = as64(tensor) != as64(base[name])
        expected = as64(base[name]) + ref.drop(d, mask, 0.3, rescale)
        ref.assert_close(tensor, expected, [as64(base[name]), expected], name=name)


def test_the_expectation_of_dare_is_task_arithmetic(tmp_path):
    family = make_family(tmp_path, models=("base", "a", "b"), layers=1, dtype="float32", ties=False, thin=True)
    models = [{n: as64(t) for n, t in read_model(folder).items()} for folder in family.values()]
    total = {name: np.zeros(value.shape) for name, value in models[0].items()}
    runs, outputs = 200, 20
    dropped = 'drop([a, b] - base, density=0.5, seed=%, rescale="inverse")'
    terms = [f"mean({dropped.replace('%', str(i))}, normalize=false)" for i in range(runs)]
    sweep = "\n".join(f'save base + 0.1 * ({" + ".join(terms[i::outputs])}) to "{i}"' for i in range(outputs))
    recipe = 'base = model("./base")\na = model("./a")\nb = model("./b")\n' + sweep
    merged_many(tmp_path, recipe)
    for i in range(outputs):
        for name, tensor in read_model(tmp_path / "out" / str(i)).items():
            total[name] += as64(tensor)
    for name, value in total.items():
        base, a, b = (model[name] for model in models)
        expected = a + b - base
        sigma = np.sqrt(((a - base) ** 2 + (b - base) ** 2) / runs) + 1e-7
        assert np.abs((value / outputs - expected) / sigma).max() < 6, name


def merged_many(folder, recipe):
    from merging import run

    run(folder, recipe, folder / "out")
