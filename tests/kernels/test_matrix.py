from array import array

import numpy as np
import pytest
import torch
from cutting import Cut

from mergegraph.kernels.tables import REDUCTIONS, SCANS
from mergegraph.kernels.tile import Tile

SHAPES = [(1, 1), (9, 1), (1, 9), (700, 300), (3, 70_000)]
PLACES = [(), (1,), (100, 65_536), (65_535, 65_537, 140_001), tuple(range(0, 200_000, 4096))]


def spread(name, places, shape, values, **settings):
    out = torch.full((shape[0] * shape[1],), torch.nan)
    kernel = SCANS[name]((array("d", values),), **settings)
    for tile in Cut(out.numel(), places).tiles:
        kernel.update(tile, out[tile.start : tile.start + tile.count])
    return out.numpy().reshape(shape)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("places", PLACES)
def test_numbers_are_spread_over_rows_and_columns(shape, places):
    rows, columns = (np.arange(size) + 0.5 for size in shape)
    found = spread("spread_rows", places, shape, rows, length=shape[1])
    np.testing.assert_array_equal(found, np.broadcast_to(rows[:, None], shape))
    np.testing.assert_array_equal(spread("spread_columns", places, shape, columns), np.broadcast_to(columns, shape))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("places", PLACES)
def test_column_dots_are_added_row_after_row(shape, places):
    x, y = np.random.default_rng(1).normal(size=(2, *shape)).astype(np.float32)
    kernel = REDUCTIONS["column_dot"]((), columns=shape[1])
    flat = [torch.from_numpy(v.ravel()) for v in (x, y)]
    for tile in Cut(x.size, places).tiles:
        kernel.update(tile, *(v[tile.start : tile.start + tile.count] for v in flat))
    expected = np.zeros(shape[1])
    for left, right in zip(x.astype(float), y.astype(float), strict=True):
        expected += left * right
    assert list(kernel.result()) == expected.tolist()


def test_tiles_of_rows():
    out = torch.empty(3, 5)
    SCANS["spread_rows"]((array("d", range(9)),), length=5).update(Tile(10, 15), out)
    assert out[:, 0].tolist() == out[:, 4].tolist() == [2.0, 3.0, 4.0]


@pytest.mark.parametrize("places", PLACES)
@pytest.mark.parametrize("size", [1, 7, 8, 200_003])
def test_masks_are_kept(size, places):
    mask = (np.random.default_rng(size).random(size) < 0.3).astype(np.float32)
    kernel = REDUCTIONS["packed_mask"]((), size=size)
    for tile in Cut(size, places).tiles:
        kernel.update(tile, torch.from_numpy(mask[tile.start : tile.start + tile.count]))
    assert kernel.result().nbytes == -(-size // 8)
    found = Cut(size, [13, 70_001]).scan("unpacked_mask", (kernel.result(),))
    np.testing.assert_array_equal(found, mask)
