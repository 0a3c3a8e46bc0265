import math

import numpy as np
import pytest
import torch
from cutting import Cut
from hypothesis import given, settings
from hypothesis import strategies as st

from mergegraph.diagnostics import MergeGraphError
from mergegraph.kernels import magnitude
from mergegraph.kernels.counting import Limit, kth_magnitude
from mergegraph.kernels.tables import SCANS
from mergegraph.kernels.tile import Tile

TINY = 1e-45
POOL = [0.0, TINY, 2 * TINY, 1.1754942e-38, 1.1754944e-38, 1.0, 1.0000001, 0.5, 0.50001, 3.4028235e38]
NONFINITE = [math.inf, -math.inf, math.nan]

finite = st.sampled_from([*POOL, *(-x for x in POOL)]) | st.floats(width=32, allow_nan=False, allow_infinity=False)
arrays = st.lists(finite, max_size=80).map(lambda v: np.array(v, dtype=np.float32))
tied = st.lists(st.sampled_from([0.0, -0.0, 1.0, -1.0, TINY]), max_size=80).map(lambda v: np.array(v, dtype=np.float32))
mixed = st.lists(finite | st.sampled_from(NONFINITE), max_size=80).map(lambda v: np.array(v, dtype=np.float32))


def _search(cut, x, k):
    coarse = cut.reduce("magnitude_histogram", (), x)
    return kth_magnitude(coarse, cut.reduce("bucket_histogram", (coarse, k), x), k)


def _bits(x):
    """Return the magnitude patterns; NaN counts as infinite."""
    return np.minimum(x.view(np.uint32) & 0x7FFFFFFF, 0x7F800000)


def _largest(x, k):
    """Keep the k largest magnitudes by a full stable sort."""
    order = np.argsort(-_bits(x).astype(np.int64), kind="stable")[: max(0, int(k))]
    kept = np.zeros_like(x)
    kept[order] = x[order]
    return kept


def _check(x, k, cuts):
    cut = Cut(len(x), cuts)
    limit = _search(cut, x, k)
    kept = cut.scan("threshold", (limit,), x)
    np.testing.assert_array_equal(kept.view(np.uint32), _largest(x, k).view(np.uint32))
    return limit


@settings(deadline=None)
@given(x=arrays | tied | mixed, k=st.integers(-2, 90), cuts=st.lists(st.integers(1, 80), max_size=6))
def test_exactly_the_k_largest_are_kept(x, k, cuts):
    _check(x, k, cuts)


@pytest.mark.usefixtures("arithmetic")
@pytest.mark.parametrize("k", [0, 1, 2, 63, 64, 127, 128, 129, math.inf])
@pytest.mark.parametrize("pool", [[1.0], [0.0, -0.0], [TINY, -TINY, 0.0], [1.0, -1.0, 2.0], [1.0, *NONFINITE]])
def test_ties_go_to_the_lowest_index(pool, k):
    x = np.resize(np.array(pool, dtype=np.float32), 128)
    for cuts in ((), (1,), (64,), range(128)):
        _check(x, min(k, 128), cuts)


@settings(deadline=None)
@given(x=arrays | mixed, k=st.integers(1, 80))
def test_limit_describes_the_sorted_magnitudes(x, k):
    limit = _search(Cut(len(x), ()), x, k)
    ordered = np.sort(_bits(x))[::-1]
    assert limit.nonfinite == np.count_nonzero(~np.isfinite(x))
    if len(x) == 0:
        assert limit.equal == 0
        return
    k = min(k, len(x))
    assert limit.bits == ordered[k - 1]
    assert limit.equal == np.count_nonzero(ordered == limit.bits)
    assert limit.ties == np.count_nonzero(ordered[:k] == limit.bits)


@pytest.mark.usefixtures("arithmetic")
def test_many_elements_with_ties_over_many_blocks():
    rng = np.random.default_rng(5)
    x = (rng.standard_normal(500_000) * 300).round().astype(np.float32) / 7
    for k in (1, 1234, 250_000, 499_999, 500_000):
        _check(x, k, range(0, 500_000, 65_536))
    _check(x, 250_000, [70_000, 300_001])


def test_more_than_16_million_elements():
    x = np.random.default_rng(6).standard_normal((1 << 24) + 12_345, dtype=np.float32)
    k = len(x) // 2
    cut = Cut(len(x), range(0, len(x), 65_536))
    limit = _search(cut, x, k)
    magnitudes = np.abs(x)
    assert limit.value == np.partition(magnitudes, len(x) - k)[len(x) - k]
    kept = cut.scan("threshold", (limit,), x)
    assert np.count_nonzero(kept) == k
    assert np.array_equal(kept[kept != 0], x[kept != 0])
    assert np.abs(kept[kept != 0]).min() == limit.value


def test_histograms_count_every_pattern():
    bits = np.random.default_rng(7).integers(0, 1 << 32, 200_000, dtype=np.uint32)
    x = bits.view(np.float32)
    coarse = Cut(len(x), [65_536, 100_000]).reduce("magnitude_histogram", (), x)
    np.testing.assert_array_equal(coarse, np.bincount(_bits(x) >> 16, minlength=1 << 15))
    fine = Cut(len(x), [65_536, 100_000]).reduce("bucket_histogram", (coarse, 1000), x)
    bucket = np.sort(_bits(x))[::-1][999] >> 16
    members = _bits(x)[_bits(x) >> 16 == bucket]
    np.testing.assert_array_equal(fine, np.bincount(members & 0xFFFF, minlength=1 << 16))


def test_counts_go_beyond_32_bits(monkeypatch):
    monkeypatch.setattr(magnitude, "_FULL", 100)
    x = np.resize(np.array([1.0, 2.0], dtype=np.float32), 990)
    coarse = Cut(990, range(0, 990, 90)).reduce("magnitude_histogram", (), x)
    assert coarse[0x3F80] == 495
    assert coarse[0x4000] == 495


def test_tiles_of_rows_longer_than_a_block():
    x = np.random.default_rng(8).standard_normal(200_000).astype(np.float32)
    limit = _search(Cut(len(x), ()), x, 1000)
    assert limit == _search(Cut(len(x), range(0, len(x), 1000)), x, 1000)
    out = torch.empty(2, 100_000)
    SCANS["threshold"]((limit,)).update(Tile(0, len(x)), out, torch.from_numpy(x).view(2, -1))
    np.testing.assert_array_equal(out.numpy().ravel(), _largest(x, 1000))


def test_result_may_replace_the_operand():
    x = torch.tensor([1.0, -3.0, 3.0, 2.0])
    SCANS["threshold"]((Limit(0x40400000, ties=1, equal=2, nonfinite=0),)).update(Tile(0, 4), x, x)
    assert x.tolist() == [0.0, -3.0, 0.0, 0.0]


def test_count_that_is_not_a_number():
    counts = np.ones(1 << 15, dtype=np.int64)
    with pytest.raises(MergeGraphError) as caught:
        kth_magnitude(counts, counts, math.nan)
    assert str(caught.value) == "error[MG451]: the number of elements to keep is not a number: the density is NaN"
    assert caught.value.exit_code == 1
