import functools
import math
import operator

import numpy as np
import pytest
import torch
from cutting import Cut
from hypothesis import given, settings
from hypothesis import strategies as st

from mergegraph.dtypes import DTYPES
from mergegraph.kernels.finite import count_nonfinite
from mergegraph.kernels.tables import REDUCTIONS
from mergegraph.kernels.tile import Tile

BLOCK = 65_536
SIZES = [0, 1, 15, 16, 17, 1000, 1023, 1024, 1025, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 4097]

REFERENCE = {
    "sum": lambda x, y: x.astype(np.float64),
    "dot": lambda x, y: x.astype(np.float64) * y.astype(np.float64),
}


def _in_order(values):
    """Add up as the documentation of the sums says, number by number."""
    total = 0.0
    for start in range(0, len(values), BLOCK):
        block = values[start : start + BLOCK].tolist()
        for width in (1024, 16):
            block += [0.0] * (-len(block) % width)
            block = [functools.reduce(operator.add, block[i::width]) for i in range(width)]
        for value in block:
            total += value
    return total


def _arrays(name, size):
    rng = np.random.default_rng(size)
    arrays = (rng.standard_normal((2, size)) * 10.0 ** rng.integers(-20, 15, (2, size))).astype(np.float32)
    return list(arrays)[: 2 if name == "dot" else 1]


@pytest.mark.usefixtures("arithmetic")
@pytest.mark.parametrize("name", list(REFERENCE))
@pytest.mark.parametrize("size", SIZES)
def test_sums_follow_their_order_exactly(name, size):
    arrays = _arrays(name, size)
    values = REFERENCE[name](arrays[0], arrays[-1])
    total = Cut(size, range(0, size, BLOCK)).reduce(name, (), *arrays)
    assert total == _in_order(values)
    assert total == pytest.approx(math.fsum(values), rel=1e-11, abs=1e-13 * math.fsum(np.abs(values)))


@pytest.mark.parametrize("name", list(REFERENCE))
@settings(max_examples=20, deadline=None)
@given(cuts=st.lists(st.integers(1, 3 * BLOCK), max_size=6))
def test_sums_do_not_depend_on_how_tiles_are_cut(name, cuts):
    size = 2 * BLOCK + 777
    arrays = _arrays(name, size)
    assert Cut(size, cuts).reduce(name, (), *arrays) == Cut(size, ()).reduce(name, (), *arrays)


def test_dot_of_a_tensor_with_itself_is_that_with_a_copy():
    x = _arrays("sum", 100_000)[0]
    kernel = REDUCTIONS["dot"](())
    tensor = torch.from_numpy(x)
    kernel.update(Tile(0, len(x)), tensor, tensor)
    assert kernel.result() == Cut(len(x), ()).reduce("dot", (), x, x.copy())


def test_products_of_float32_extremes_do_not_overflow():
    x = np.array([3e38, 1e-45], dtype=np.float32)
    assert Cut(2, ()).reduce("dot", (), x, x.copy()) == float(x[0]) ** 2


@pytest.mark.parametrize(
    ("values", "expected"), [([math.inf, 1.0], math.inf), ([math.inf, -math.inf], math.nan), ([math.nan], math.nan)]
)
def test_sums_of_what_is_not_finite(values, expected):
    x = np.tile(np.array(values, dtype=np.float32), 40)
    assert Cut(len(x), ()).reduce("sum", (), x) == pytest.approx(expected, nan_ok=True)


def test_sums_take_tiles_of_rows():
    kernel = REDUCTIONS["sum"](())
    kernel.update(Tile(0, 6), torch.arange(6.0).view(2, 3))
    kernel.update(Tile(6, 3), torch.arange(3.0).view(1, 3))
    assert kernel.result() == 18.0


def nonfinite(x):
    return count_nonfinite(memoryview(x.view(torch.uint8).numpy()), DTYPES[str(x.dtype).removeprefix("torch.")])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("number", [math.nan, -math.nan, math.inf, -math.inf])
def test_count_nonfinite(dtype, number):
    x = torch.cat([torch.ones(70_000), -torch.ones(70_000)]).to(dtype)
    x[[1, 70_001]] = torch.tensor([torch.finfo(dtype).max, torch.finfo(dtype).min], dtype=dtype)
    assert nonfinite(x) == 0
    x[[3, 500, 139_999]] = torch.tensor(number, dtype=dtype)
    assert nonfinite(x) == 3
    assert nonfinite(x[:0]) == 0


def test_count_nonfinite_when_only_the_sum_overflows():
    assert nonfinite(torch.full((100,), 3e38)) == 0
