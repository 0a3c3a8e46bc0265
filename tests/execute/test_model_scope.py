"""Thresholds over all tensors of a model."""

import numpy as np
import pytest
import references as ref
from every_method import HEADER
from families import as64, make_family, make_odd_family, read_model
from merging import ample, compilation, digest, merged, run

from mergegraph.compiler import resources
from mergegraph.diagnostics import MergeGraphError

MODELS = ("base", "a", "b", "c")


def deltas(folder):
    """Return the deltas of each model, tensor by tensor."""
    models = {n: {k: as64(t) for k, t in read_model(folder / n).items() if t.is_floating_point()} for n in MODELS}
    base = models["base"]
    return base, {n: {k: ref.difference(models[n][k], base[k]) for k in base} for n in "abc"}


def kth(ds, k):
    """Return the k-th largest magnitude of several tensors."""
    every = np.sort(np.concatenate([np.abs(d).ravel() for d in ds]))[::-1]
    return every[k - 1] if k else np.inf


def trimmed(ds, density):
    limit = kth(ds.values(), max(1, int(density * sum(d.size for d in ds.values()))))
    return {name: np.where(np.abs(d) >= limit, d, 0.0) for name, d in ds.items()}


def banded(ds, density, gamma):
    count = sum(d.size for d in ds.values())
    k, top = int(density * count), min(int(gamma * count), count - int(density * count))
    low, high = kth(ds.values(), k + top), kth(ds.values(), top)
    return {name: np.where((np.abs(d) >= low) & ~(np.abs(d) >= high), d, 0.0) for name, d in ds.items()}


@pytest.mark.parametrize("make", [make_family, make_odd_family])
def test_trim(tmp_path, make):
    make(tmp_path, dtype="float32")
    base, ds = deltas(tmp_path)
    text = 'save base + elect(trim([a, b, c] - base, [0.3, 0.3, 0.01], scope="model"), [0.8, 0.7, 0.4]) to "out"'
    kept = [trimmed(ds[n], density) for n, density in zip("abc", (0.3, 0.3, 0.01), strict=True)]
    for name, tensor in merged(tmp_path, HEADER + text, tmp_path / "out").items():
        if name in base:
            parts = [k[name] for k in kept]
            expected = base[name] + ref.elect(parts, [0.8, 0.7, 0.4])
            skip = ref.near_tie(parts, [0.8, 0.7, 0.4])
            ref.assert_close(tensor, expected, [base[name], *parts], skip=skip, name=name)


def test_band(tmp_path):
    make_family(tmp_path, dtype="float32")
    base, ds = deltas(tmp_path)
    kept = banded(ds["a"], 0.4, 0.25)
    out = merged(tmp_path, f'{HEADER}save base + band(a - base, 0.4, 0.25, scope="model") to "out"', tmp_path / "out")
    for name, tensor in out.items():
        ref.assert_close(tensor, base[name] + kept[name], [base[name], ds["a"][name]], name=name)


def test_rescaled_and_only_in_some_tensors(tmp_path):
    """All tensors count, also where only some are merged; `rescale` is per tensor."""
    make_family(tmp_path, dtype="float32")
    base, ds = deltas(tmp_path)
    text = (
        'save base + select { "*.mlp.*": trim(a - base, 0.2, scope="model", rescale="l1"), _: 0 * (a - base) } to "out"'
    )
    kept = trimmed(ds["a"], 0.2)
    for name, tensor in merged(tmp_path, HEADER + text, tmp_path / "out").items():
        d = ref.drop(ds["a"][name], kept[name] != 0, rescale="l1") if ".mlp." in name else 0 * kept[name]
        ref.assert_close(tensor, base[name] + d, [base[name], d], name=name)


def test_of_what_has_reductions_itself(tmp_path):
    """A threshold over what another threshold over a model has left, and a norm."""
    make_family(tmp_path, dtype="float32")
    base, ds = deltas(tmp_path)
    inner = 'trim(a - base, 0.5, scope="model")'
    text = f'save base + trim({inner} / (1 + norm(a - base)), 0.2, scope="model") to "out"'
    halved = trimmed(ds["a"], 0.5)
    scaled = {n: (d / (1 + np.linalg.norm(ds["a"][n]))).astype(np.float32).astype(float) for n, d in halved.items()}
    kept = trimmed(scaled, 0.2)
    for name, tensor in merged(tmp_path, HEADER + text, tmp_path / "out").items():
        limit = np.abs(kept[name][kept[name] != 0]).min(initial=np.inf)
        near = np.abs(np.abs(scaled[name]) / limit - 1) < 1e-6
        ref.assert_close(tensor, base[name] + kept[name], [base[name], kept[name]], skip=near, name=name)


def test_one_result_in_every_mode(tmp_path):
    make_family(tmp_path, layers=2, hidden=64, intermediate=700, vocab=5000, dtype="float32")
    text = f'{HEADER}save base + mean(trim([a, b] - base, 0.3, scope="model"), normalize=false) to "out"'
    run(tmp_path, text, tmp_path / "held" / "out", workers=1, memory=ample())
    plan = compilation(tmp_path, text).plan(within=resources(1 << 50, 1))
    cap = plan.lower_bound_bytes + 2_000_000
    run(tmp_path, text, tmp_path / "streamed" / "out", exact=False, workers=3, memory=cap)
    assert digest(tmp_path / "held") == digest(tmp_path / "streamed")
    once = sum(t.nbytes for n in ("base", "a", "b") for t in read_model(tmp_path / n).values())
    assert [stage.bytes_read for stage in plan.before] == [once, once]
    assert plan.bytes_read == 3 * once


def test_what_is_not_needed_is_not_surveyed(tmp_path):
    make_family(tmp_path)
    text = f'{HEADER}save base + mean(trim([a, b] - base, [0.5, 1], scope="model"), [0, 1]) to "out"'
    plan = compilation(tmp_path, text).plan(1 << 40, 1)
    assert plan.before == ()


def test_numbers_that_differ_from_tensor_to_tensor(tmp_path):
    make_family(tmp_path)
    trimmed = 'trim(a - base, ramp(0.1, 0.2, outside=0.1), scope="model")'
    text = f'save base + {trimmed} to "out"'
    with pytest.raises(MergeGraphError) as caught:
        run(tmp_path, HEADER + text, tmp_path / "out")
    assert str(caught.value) == (
        "error[MG323]: `trim` over a whole model needs the same numbers for all tensors\n"
        "  ┌─ test.merge:6:13\n"
        f"6 │ {text}\n"
        f"  │ {' ' * 12}{'^' * len(trimmed)}\n"
        "  = help: first for the tensor `model.layers.1.input_layernorm.weight`"
    )
