"""DELLA's masks: how much they keep, and of what; the methods that are made of them."""

import method_references as more
import numpy as np
import pytest
import references as ref
from every_method import HEADER
from families import as64, make_family, read_model
from merging import merged, run

DENSITY, EPSILON = 0.4, 0.3


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A family without zeros in its deltas, so that masks can be seen in the results."""
    path = tmp_path_factory.mktemp("family")
    make_family(path, layers=2, hidden=256, intermediate=512, dtype="float32", ties=False)
    return path


@pytest.fixture(scope="module")
def models(folder):
    return {name: {n: as64(t) for n, t in read_model(folder / name).items()} for name in ("base", "a", "b")}


@pytest.fixture(scope="module")
def masks(folder, models, tmp_path_factory):
    """What is kept of the deltas of `a` and `b`, tensor by tensor."""
    found = {}
    for name in "ab":
        text = f'{HEADER}save base + drop_ranked({name} - base, {DENSITY}, {EPSILON}) to "out"'
        out = merged(folder, text, tmp_path_factory.mktemp("masks") / "out")
        found[name] = {n: as64(tensor) != models["base"][n] for n, tensor in out.items()}
    return found


def probabilities(models, name, tensor):
    d = ref.difference(models[name][tensor], models["base"][tensor])
    return more.keep_probability(d, DENSITY, EPSILON)


def test_the_kept_fraction_is_the_density(models, masks):
    for tensor, mask in masks["a"].items():
        p = probabilities(models, "a", tensor)
        assert abs(mask.sum() - p.sum()) < 4 * np.sqrt((p * (1 - p)).sum()), tensor
        assert p.mean() == pytest.approx(DENSITY)


def test_large_changes_are_kept_more_often(models, masks):
    for tensor, mask in masks["a"].items():
        p = probabilities(models, "a", tensor)
        for low in np.linspace(DENSITY - EPSILON, DENSITY + EPSILON, 8, endpoint=False):
            inside = (p >= low) & (p < low + EPSILON / 4)
            sigma = np.sqrt((p * (1 - p))[inside].sum())
            assert abs((mask - p)[inside].sum()) < 4.5 * sigma, (tensor, low)


def test_no_two_masks_agree(models, masks):
    kinds = {
        (model, tensor): masks[model][tensor] for model in "ab" for tensor in masks[model] if "_proj.weight" in tensor
    }
    for one, mask in kinds.items():
        for other, mask2 in kinds.items():
            if one < other and mask.shape == mask2.shape:
                p, q = probabilities(models, *one), probabilities(models, *other)
                both = p * q
                assert abs((mask & mask2).sum() - both.sum()) < 4.5 * np.sqrt((both * (1 - both)).sum()), (one, other)


@pytest.mark.parametrize("rescale", ["l1", "inverse"])
def test_rescaled(folder, models, masks, tmp_path, rescale):
    text = f'{HEADER}save base + drop_ranked(a - base, {DENSITY}, {EPSILON}, rescale="{rescale}") to "out"'
    for name, tensor in merged(folder, text, tmp_path / "out").items():
        base = models["base"][name]
        d = ref.difference(models["a"][name], base)
        expected = base + ref.drop(d, masks["a"][name], probabilities(models, "a", name), rescale)
        ref.assert_close(tensor, expected, [base, expected], name=name)


@pytest.mark.parametrize(("method", "fuse"), [("della", ref.elect), ("della_linear", ref.mean)])
def test_methods(folder, models, masks, tmp_path, method, fuse):
    text = f"{method}(a, b, base=base, weight=[0.7, 0.5], density={DENSITY}, epsilon={EPSILON}, normalize=true)"
    for name, tensor in merged(folder, f'{HEADER}save {text} to "out"', tmp_path / "out").items():
        base = models["base"][name]
        kept = [ref.drop(ref.difference(models[m][name], base), masks[m][name], rescale="l1") for m in "ab"]
        expected = base + fuse(kept, [0.7, 0.5], True)
        ref.assert_close(tensor, expected, [base, *kept], skip=ref.near_tie(kept, [0.7, 0.5]), name=name)


def test_the_expectation_of_della_is_task_arithmetic(tmp_path):
    family = make_family(tmp_path, models=("base", "a", "b"), layers=1, dtype="float32", ties=False, thin=True)
    base, a, b = ({n: as64(t) for n, t in read_model(path).items()} for path in family.values())
    runs, outputs = 200, 20
    dropped = f'drop_ranked([a, b] - base, {DENSITY}, {EPSILON}, seed=%, rescale="inverse")'
    terms = [f"mean({dropped.replace('%', str(i))}, normalize=false)" for i in range(runs)]
    sweep = "\n".join(f'save base + 0.1 * ({" + ".join(terms[i::outputs])}) to "{i}"' for i in range(outputs))
    run(tmp_path, HEADER.replace('c = model("./c")\n', "") + sweep, tmp_path / "out")
    total = {name: np.zeros(value.shape) for name, value in base.items()}
    for i in range(outputs):
        for name, tensor in read_model(tmp_path / "out" / str(i)).items():
            total[name] += as64(tensor)
    for name, value in total.items():
        ds = [ref.difference(x[name], base[name]) for x in (a, b)]
        odds = [1 / more.keep_probability(d, DENSITY, EPSILON) - 1 for d in ds]
        sigma = np.sqrt(sum(d**2 * o for d, o in zip(ds, odds, strict=True)) / runs) + 1e-8
        assert np.abs((value / outputs - base[name] - sum(ds)) / sigma).max() < 6, name
