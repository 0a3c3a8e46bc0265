import math

import numpy as np
import pytest
import torch
from test_random_mask import KEYS, _random_bits

from mergegraph.diagnostics import MergeGraphError
from mergegraph.kernels.tables import SCANS
from mergegraph.kernels.tile import Tile

BLOCK = 65_536
LOW, HIGH = 0.3, 0.8


def mask(x, *, start=0, low=LOW, high=HIGH, key=KEYS[1], rows=None):
    """Return the mask of a matrix whose first element has the index `start`, made `rows` rows at a time."""
    kernel = SCANS["ranked_mask"]((low, high, key))
    out, values, step = torch.full(x.shape, torch.nan), torch.from_numpy(np.abs(x)), rows or len(x)
    for first in range(0, len(x), step):
        part = values[first : first + step]
        kernel.update(Tile(start + first * x.shape[1], part.numel()), out[first : first + step], part)
    return out.numpy()


def by_definition(x, start, key, low=LOW, high=HIGH):
    """Return the mask of a matrix, element by element, in whole numbers of any size."""
    low, high = round(low * 2**32), round(high * 2**32)
    length = x.shape[1]
    found = np.zeros(x.shape)
    for row, values in enumerate(x):
        order = [(math.inf if math.isnan(v) else abs(float(v)), i) for i, v in enumerate(values)]
        for i in range(length):
            bits = _random_bits(key, start + row * length + i) + 2**31
            step = 1 + ((bits - low) * (((length - 1) << 32) // (high - low)) >> 32)
            larger = order[i] > order[(i + step) % length] if low <= bits < high else bits < low
            found[row, i] = larger
    return found


def special(shape, seed=0):
    """Return a matrix of few values, signs, infinities, NaN and subnormals among them."""
    values = [0.0, -0.0, 1.0, -1.0, 2.0, 1e-45, -1e-45, math.inf, -math.inf, math.nan, 0.5]
    return np.random.default_rng(seed).choice(values, shape).astype(np.float32)


@pytest.mark.usefixtures("arithmetic")
@pytest.mark.parametrize("shape", [(60, 2), (40, 3), (7, 13), (3, 211)])
@pytest.mark.parametrize("start", [0, 10])
def test_masks_agree_with_the_definition(shape, start):
    for x in (special(shape), np.random.default_rng(1).normal(size=shape).astype(np.float32)):
        at = (BLOCK // shape[1] - start) * shape[1]  # The tile lies across the end of a block.
        np.testing.assert_array_equal(mask(x, start=at), by_definition(x, at, KEYS[1]))


@pytest.mark.usefixtures("arithmetic")
@pytest.mark.parametrize("shape", [(500, 300), (3, 70_000)])
def test_masks_do_not_depend_on_how_many_rows_come_at_a_time(shape):
    x = special(shape)
    whole = mask(x)
    np.testing.assert_array_equal(mask(x, rows=1), whole)
    np.testing.assert_array_equal(mask(x, rows=2), whole)


@pytest.mark.parametrize("x", [special((1, 9)), np.zeros((1, 6), np.float32), np.ones((1, 2), np.float32)])
def test_the_probability_grows_evenly_with_the_rank(x):
    """Count over many indices how often each place of a row is kept: ranks are by magnitude, equal ones by index."""
    length, runs = x.shape[1], 60_000
    kept = mask(np.repeat(x, runs, axis=0)).mean(axis=0)
    size = [math.inf if np.isnan(v) else abs(v) for v in x[0]]
    order = sorted(range(length), key=lambda i: (size[i], i))
    p = np.empty(length)
    p[order] = LOW + (HIGH - LOW) * np.arange(length) / (length - 1)
    assert np.abs((kept - p) / np.sqrt(p * (1 - p) / runs)).max() < 4.5


def test_elements_of_a_row_are_kept_independently():
    x = np.arange(1.0, 7.0, dtype=np.float32)[None]
    kept = mask(np.repeat(x, 100_000, axis=0))
    z = (kept - kept.mean(axis=0)) / kept.std(axis=0)
    pairs = (z.T @ z / math.sqrt(len(z)))[np.triu_indices(6, 1)]
    assert np.abs(pairs).max() < 4.5


def test_every_other_element_is_drawn_alike():
    """Where one element of a row is larger than all others but one, count how often it meets that one."""
    length, runs = 7, 70_000
    for place in range(1, length):
        x = np.full((1, length), 1.0, np.float32)
        x[0, 0], x[0, place] = 2.0, 3.0
        kept = mask(np.repeat(x, runs, axis=0), low=0.0, high=1.0)[:, 0].mean()
        p = (length - 2) / (length - 1)
        assert abs(kept - p) < 4.5 * math.sqrt(p * (1 - p) / runs)


def test_ends_that_are_equal_make_a_mask_without_ranks():
    x = special((300, 400))
    plain = torch.empty(x.shape)
    SCANS["random_mask"]((0.4, KEYS[2])).update(Tile(0, x.size), plain)
    np.testing.assert_array_equal(mask(x, low=0.4, high=0.4, key=KEYS[2]), plain.numpy())


@pytest.mark.usefixtures("arithmetic")
@pytest.mark.parametrize("width", [1, 3, 2**20])
def test_bounds_that_are_close_to_each_other(width):
    x = np.random.default_rng(3).normal(size=(8, 250)).astype(np.float32)
    bits = np.array([_random_bits(KEYS[1], i) for i in range(x.size)]) + 2**31
    for low in (bits.min(), int(np.median(bits)), bits.max() - width + 1):
        ends = {"low": low / 2**32, "high": (low + width) / 2**32}
        np.testing.assert_array_equal(mask(x, **ends), by_definition(x, 0, KEYS[1], **ends))


def test_probability_that_is_not_a_number():
    with pytest.raises(MergeGraphError) as caught:
        SCANS["ranked_mask"]((math.nan, 0.5, 1))
    assert str(caught.value) == "error[MG452]: the probability to keep an element is NaN"
