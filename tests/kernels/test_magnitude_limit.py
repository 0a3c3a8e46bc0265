"""The k-th magnitude by a sample and a bracket is the one of a full sort, however good the sample is."""

import math

import numpy as np
import pytest
import torch
from cutting import Cut
from hypothesis import given, settings
from hypothesis import strategies as st

from mergegraph.diagnostics import MergeGraphError
from mergegraph.kernels.counting import kth_magnitude
from mergegraph.kernels.limit import MagnitudeLimit
from mergegraph.kernels.tile import Tile

TINY = 1e-45
POOL = [0.0, TINY, 2 * TINY, 1.1754942e-38, 1.1754944e-38, 1.0, 1.0000001, 0.5, 0.50001, 3.4028235e38]
NONFINITE = [math.inf, -math.inf, math.nan]
finite = st.sampled_from([*POOL, *(-x for x in POOL)]) | st.floats(width=32, allow_nan=False, allow_infinity=False)
arrays = st.lists(finite | st.sampled_from(NONFINITE), max_size=80).map(lambda v: np.array(v, dtype=np.float32))


def _sample(x, parts):
    return Cut(len(x)).reduce("magnitude_sample", (), np.concatenate([x[:0], *(x[part] for part in parts)]))


def _passes(x, k, sample, cuts=()):
    """Return the limit, and how many passes it took."""
    kernel = MagnitudeLimit((sample, k), size=len(x))
    passes, more = 0, True
    while more:
        for tile in Cut(len(x), cuts).tiles:
            kernel.update(tile, torch.from_numpy(x[tile.start : tile.start + tile.count]))
        passes, more = passes + 1, kernel.again()
    return kernel.result(), passes


def _check(x, k, sample, cuts=()):
    limit, passes = _passes(x, k, sample, cuts)
    ordered = np.sort(np.minimum(x.view(np.uint32) & 0x7FFFFFFF, 0x7F800000))[::-1]
    rank = max(0, min(int(k), len(x)))
    assert limit.nonfinite == np.count_nonzero(~np.isfinite(x))
    assert passes <= 3
    if rank == 0:
        assert limit.equal == 0
        return passes
    assert limit.bits == ordered[rank - 1]
    assert limit.equal == np.count_nonzero(ordered == limit.bits)
    assert limit.ties == np.count_nonzero(ordered[:rank] == limit.bits)
    return passes


@pytest.mark.usefixtures("arithmetic")
@settings(deadline=None, max_examples=60)
@given(data=st.data(), x=arrays, k=st.integers(-2, 90))
def test_any_sample_leads_to_the_limit(data, x, k):
    sampled = data.draw(st.lists(st.integers(0, max(0, len(x) - 1)), max_size=20)) if len(x) else []
    cuts = data.draw(st.lists(st.integers(1, 80), max_size=4))
    _check(x, k, _sample(x, [slice(i, i + 1) for i in sampled]), cuts)


@pytest.mark.usefixtures("arithmetic")
@settings(deadline=None, max_examples=40)
@given(x=arrays, k=st.integers(1, 80))
def test_a_sample_of_everything_takes_one_pass(x, k):
    assert _check(x, k, _sample(x, [slice(0, len(x))])) == 1


@pytest.mark.usefixtures("arithmetic")
@pytest.mark.parametrize("share", [0.001, 0.01, 0.5, 0.9, 0.999])
def test_a_sixteenth_is_enough_for_one_pass(share):
    rng = np.random.default_rng(1)
    x = rng.standard_normal(1 << 21).astype(np.float32)
    parts = [slice(i, i + 16_384) for i in range(0, len(x), 16 * 16_384)]
    for values in (x, (x * 40).round() / 8, np.where(x < 0.7, np.float32(0), x).astype(np.float32)):
        assert _check(np.ascontiguousarray(values), len(x) * share, _sample(values, parts), [100_000]) == 1


@pytest.mark.usefixtures("arithmetic")
def test_a_misleading_sample_takes_three_passes():
    x = np.random.default_rng(2).standard_normal(300_000).astype(np.float32)
    x[:65_536] *= 1e-6
    assert _check(x, 150_000, _sample(x, [slice(0, 65_536)]), [65_536, 200_000]) == 3


def test_equal_magnitudes_that_are_counted_apart():
    rng = np.random.default_rng(3)
    x = (rng.integers(-3, 4, 500_000) * 0.25).astype(np.float32)
    x[::50] = rng.uniform(0.4, 0.6, 10_000).astype(np.float32)
    for k in (100_000, 200_000, 210_000, 400_000):
        assert _check(x, k, _sample(x, [slice(0, 65_536)]), range(0, 500_000, 65_536)) == 1


def test_tiles_where_some_are_not_finite():
    x = np.random.default_rng(4).standard_normal(200_000).astype(np.float32)
    x[70_000:70_010] = np.resize(np.array(NONFINITE, dtype=np.float32), 10)
    for k in (3, 10, 11, 100_000):
        _check(x, k, _sample(x, [slice(0, 200_000)]), range(0, 200_000, 65_536))


def test_it_agrees_with_the_two_histograms():
    bits = np.random.default_rng(5).integers(0, 1 << 32, 200_000, dtype=np.uint32)
    x = bits.view(np.float32)
    coarse = Cut(len(x)).reduce("magnitude_histogram", (), x)
    for k in (1, 1000, 100_000, 199_999):
        fine = Cut(len(x)).reduce("bucket_histogram", (coarse, k), x)
        assert _passes(x, k, _sample(x, [slice(0, 20_000)]))[0] == kth_magnitude(coarse, fine, k)


def test_tiles_of_rows():
    x = np.random.default_rng(8).standard_normal(200_000).astype(np.float32)
    kernel = MagnitudeLimit((_sample(x, [slice(0, 200_000)]), 1000), size=len(x))
    kernel.update(Tile(0, 200_000), torch.from_numpy(x).view(2, -1))
    assert not kernel.again()
    assert kernel.result().value == np.partition(np.abs(x), -1000)[-1000]


def test_count_that_is_not_a_number():
    with pytest.raises(MergeGraphError) as caught:
        MagnitudeLimit((np.zeros(1 << 15, dtype=np.int64), math.nan), size=4)
    assert str(caught.value) == "error[MG451]: the number of elements to keep is not a number: the density is NaN"
