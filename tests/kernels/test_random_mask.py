import math

import numpy as np
import pytest
import torch
from cutting import Cut

from mergegraph.diagnostics import MergeGraphError
from mergegraph.kernels.tables import SCANS
from mergegraph.kernels.tile import Tile
from mergegraph.keys import random_bits_key

BLOCK = 65_536
KEYS = [random_bits_key(seed, "test") for seed in range(64)]
DENSITIES = [0.5, 0.9, 0.1, 0.01]

M32, M64 = 2**32 - 1, 2**64 - 1


def _splitmix(z):
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & M64
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & M64
    return z ^ (z >> 31)


def _lowbias(x):
    x = (x ^ (x >> 16)) * 0x7FEB352D & M32
    x = (x ^ (x >> 15)) * 0x846CA68B & M32
    return x ^ (x >> 16)


def _random_bits(key, index):
    """Return the random bits of one element, by whole numbers of any size."""
    block, place = divmod(index, BLOCK)
    drawn = _splitmix((_splitmix(key) + (block + 1) * 0x9E3779B97F4A7C15) & M64)
    seed = (_lowbias(place) & 0xFFFF0000) | place
    x = (seed ^ (drawn & M32)) * (drawn >> 32 | 1) & M32
    x = (x ^ (x >> 15)) * 0x846CA68B & M32
    return x - 2**32 if x >> 31 else x


def _mask(key, density, start, count):
    out = torch.full((count,), torch.nan)
    SCANS["random_mask"]((density, key)).update(Tile(start, count), out)
    return out.numpy()


def _block_bits(key, block):
    """Return the random bits of a block, by the same formula on arrays."""
    drawn = _splitmix((_splitmix(key) + (block + 1) * 0x9E3779B97F4A7C15) & M64)
    place = np.arange(BLOCK, dtype=np.uint32)
    seed = np.array([_lowbias(j) for j in range(BLOCK)], dtype=np.uint32) & 0xFFFF0000 | place
    x = (seed ^ np.uint32(drawn & M32)) * np.uint32(drawn >> 32 | 1)
    return ((x ^ x >> 15) * np.uint32(0x846CA68B)).view(np.int32)


def _deviates(masks, density):
    return (masks - density) / math.sqrt(density * (1 - density))


@pytest.mark.usefixtures("arithmetic")
@pytest.mark.parametrize("density", [0.5, 0.1, 0.999])
@pytest.mark.parametrize("start", [0, 1, BLOCK - 3, 40 * BLOCK - 100, 2**33 + 5])
def test_masks_agree_with_whole_numbers_of_any_size(density, start):
    key = KEYS[3]
    bound = round(density * 2**32) - 2**31
    expected = [float(_random_bits(key, i) < bound) for i in range(start, start + 200)]
    assert _mask(key, density, start, 200).tolist() == expected


@pytest.mark.usefixtures("arithmetic")
def test_masks_never_change():
    key = random_bits_key(42, "drop", "model.layers.0.mlp.up_proj.weight")
    assert key == 0x1065564E9662E2D9
    kept = "".join(str(int(x)) for x in _mask(key, 0.5, 65_520, 64))
    assert kept == "0010101010001110011111100101100000010111011110001100111010010000"


@pytest.mark.parametrize(
    "places", [(1,), (65_536,), (65_535, 65_537), (30_000, 100_000, 150_000), range(0, 200_000, 4096)]
)
def test_masks_do_not_depend_on_how_tiles_are_cut(places):
    whole = Cut(200_000).scan("random_mask", (0.3, KEYS[0]))
    np.testing.assert_array_equal(Cut(200_000, places).scan("random_mask", (0.3, KEYS[0])), whole)


def test_tiles_of_rows():
    out = torch.empty(3, 50_000)
    SCANS["random_mask"]((0.3, KEYS[0])).update(Tile(50_000, 150_000), out)
    np.testing.assert_array_equal(out.numpy().ravel(), _mask(KEYS[0], 0.3, 50_000, 150_000))


@pytest.mark.parametrize(("density", "value"), [(0.0, 0.0), (-1.0, 0.0), (1.0, 1.0), (2.0, 1.0), (math.inf, 1.0)])
def test_extreme_densities_keep_nothing_or_all(density, value):
    assert set(_mask(KEYS[0], density, 0, 1000).tolist()) == {value}


def test_density_that_is_not_a_number():
    with pytest.raises(MergeGraphError) as caught:
        SCANS["random_mask"]((math.nan, 1))
    assert str(caught.value) == "error[MG452]: the probability to keep an element is NaN"
    assert caught.value.exit_code == 1


def test_lower_density_keeps_a_part_of_the_same_elements():
    few, many = _mask(KEYS[0], 0.2, 0, BLOCK), _mask(KEYS[0], 0.7, 0, BLOCK)
    assert np.all(few <= many)


# The tests below draw fixed bits, so they pass or fail for good: limits of 4.5 standard deviations are not flaky.


@pytest.mark.parametrize("density", DENSITIES)
def test_the_kept_fraction_is_the_density(density):
    for key in KEYS[:8]:
        mask = _mask(key, density, 0, 5 * BLOCK)
        assert abs(_deviates(mask, density).sum()) / math.sqrt(mask.size) < 4.5


def test_bytes_of_the_bits_are_uniform():
    bits = np.concatenate([_block_bits(key, block) for key in KEYS[:4] for block in range(4)])
    np.testing.assert_array_equal(_mask(KEYS[0], 0.5, 0, BLOCK), bits[:BLOCK] < 0)
    for part in bits.view(np.uint8).reshape(-1, 4).T:
        counts = np.bincount(part, minlength=256)
        expected = part.size / 256
        statistic = ((counts - expected) ** 2 / expected).sum()
        assert abs(statistic - 255) / math.sqrt(2 * 255) < 4.5


@pytest.mark.parametrize("density", DENSITIES)
def test_neighbours_are_not_correlated(density):
    z = _deviates(_mask(KEYS[1], density, 0, 10 * BLOCK), density)
    for lag in (1, 2, 3, 4, 8, 64, 768, 4096, BLOCK, 3 * BLOCK):
        products = z[:-lag] * z[lag:]
        assert abs(products.sum()) / math.sqrt(products.size) < 4.5


def _correlations(masks, density):
    """Return the correlation of every two rows, in standard deviations."""
    z = _deviates(masks, density)
    return ((z @ z.T) / math.sqrt(z.shape[1]))[np.triu_indices(len(z), 1)]


@pytest.mark.parametrize("density", DENSITIES)
def test_keys_are_independent(density):
    found = _correlations(np.stack([_mask(key, density, 0, BLOCK) for key in KEYS]), density)
    assert abs(found.std() - 1) < 0.08
    assert np.abs(found).max() < 5.5


def test_keys_that_differ_in_one_bit_are_independent():
    found = _correlations(np.stack([_mask(KEYS[0] ^ (1 << bit), 0.5, 0, BLOCK) for bit in range(64)]), 0.5)
    assert abs(found.std() - 1) < 0.08
    assert np.abs(found).max() < 5.5


@pytest.mark.parametrize("density", DENSITIES)
def test_blocks_are_independent(density):
    found = _correlations(_mask(KEYS[2], density, 0, 64 * BLOCK).reshape(64, BLOCK), density)
    assert abs(found.std() - 1) < 0.08
    assert np.abs(found).max() < 5.5


@pytest.mark.parametrize("density", [0.5, 0.9])
def test_places_whose_seeds_are_alike_are_independent(density):
    """Look over many blocks at the pairs of places whose seeds have the most lower bits in common."""
    reverse = [int(f"{place:016b}"[::-1], 2) for place in range(BLOCK)]
    order = np.argsort(reverse)[:2048]
    masks = np.stack([_mask(KEYS[5], density, block * BLOCK, BLOCK)[order] for block in range(300)])
    z = _deviates(masks, density)
    found = (z[:, 1:] * z[:, :-1]).sum(axis=0) / math.sqrt(len(z))
    assert abs(found.std() - 1) < 0.06
    assert np.abs(found).max() < 6
