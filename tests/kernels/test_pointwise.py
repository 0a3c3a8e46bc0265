import math
from bisect import bisect_left
from fractions import Fraction
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mergegraph.kernels.tables import POINTWISE

TINY, SMALLEST_NORMAL, LARGEST = 1e-45, 1.1754944e-38, 3.4028235e38
SPECIAL = [0.0, 1.0, 0.5, 3.0, 7.0, TINY, 3 * TINY, SMALLEST_NORMAL, 1.1754942e-38, 1e-30, 1e20, LARGEST, math.inf]
VALUES = np.array([*SPECIAL, *(-x for x in SPECIAL), math.nan], dtype=np.float32)
X, Y = (grid.ravel() for grid in np.meshgrid(VALUES, VALUES))


def _mask(compare):
    return lambda x, y: compare(x, y).astype(np.float32)


def _zero_is_positive(function):
    return lambda x, y: function(x, y) + np.float32(0)


REFERENCE = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": np.divide,
    "min": _zero_is_positive(np.minimum),
    "max": _zero_is_positive(np.maximum),
    "less": _mask(np.less),
    "less_equal": _mask(np.less_equal),
    "greater": _mask(np.greater),
    "greater_equal": _mask(np.greater_equal),
    "equal": _mask(np.equal),
    "not_equal": _mask(np.not_equal),
    "negate": lambda x: -x,
    "abs": np.abs,
    "sign": lambda x: np.where(np.isnan(x), np.float32(0), np.sign(x)) + np.float32(0),
    "sqrt": np.sqrt,
    "majority": lambda x: np.where(x >= 0, np.float32(1), np.float32(-1)),
}
BINARY = [name for name in REFERENCE if name not in ("negate", "abs", "sign", "sqrt", "majority")]
UNARY = [name for name in REFERENCE if name not in BINARY]


def _same_bits(actual, expected):
    """Compare bit patterns; one NaN is as good as another."""
    actual, expected = np.asarray(actual, dtype=np.float32), np.asarray(expected, dtype=np.float32)
    np.testing.assert_array_equal(np.isnan(actual), np.isnan(expected))
    numbers = ~np.isnan(expected)
    np.testing.assert_array_equal(actual[numbers].view(np.uint32), expected[numbers].view(np.uint32))


def _run(name, size, *operands):
    out = torch.full((size,), 99.0)
    POINTWISE[name](out, *(torch.from_numpy(x) if isinstance(x, np.ndarray) else x for x in operands))
    return out.numpy()


def _expected(name, *operands):
    with np.errstate(all="ignore"):
        return REFERENCE[name](*operands)


@pytest.mark.parametrize("name", BINARY)
def test_two_tensors(name):
    _same_bits(_run(name, len(X), X, Y), _expected(name, X, Y))


@pytest.mark.parametrize("name", UNARY)
def test_one_tensor(name):
    _same_bits(_run(name, len(VALUES), VALUES), _expected(name, VALUES))


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize("number", [float(v) for v in VALUES])
def test_a_number_in_either_place(name, number):
    same = np.full(len(VALUES), number, dtype=np.float32)
    after, before = _run(name, len(VALUES), VALUES, number), _run(name, len(VALUES), number, VALUES)
    if name in ("min", "max"):
        after, before = after + np.float32(0), before + np.float32(0)
    _same_bits(after, _expected(name, VALUES, same))
    _same_bits(before, _expected(name, same, VALUES))


@pytest.mark.parametrize("name", ["add", "multiply", "divide", "less", "max"])
def test_numbers_are_rounded_to_float32(name):
    x = np.array([0.1, 1.0, -2.0], dtype=np.float32)
    _same_bits(_run(name, 3, x, 0.1), _expected(name, x, np.float32(0.1)))
    _same_bits(_run(name, 3, x, 1e300), _expected(name, x, np.float32(math.inf)))


def test_zeros_of_both_signs_are_different_numbers():
    x = np.array([1.0, -1.0], dtype=np.float32)
    for zero in (0.0, -0.0, 0.0):
        _same_bits(_run("multiply", 2, x, zero), x * np.float32(zero))


@pytest.mark.parametrize("name", BINARY)
def test_result_may_replace_an_operand(name):
    for place in (0, 1):
        operands = [torch.from_numpy(X.copy()), torch.from_numpy(Y.copy())]
        POINTWISE[name](operands[place], *operands)
        _same_bits(operands[place].numpy(), _expected(name, X, Y))


@pytest.mark.parametrize("name", list(REFERENCE))
def test_bits_do_not_depend_on_the_place_in_the_tile(name):
    operands = (X, Y) if name in BINARY else (X,)
    whole = _run(name, len(X), *operands)
    for start in range(1, 70):
        part = [np.concatenate([np.ones(start, dtype=np.float32), x]) for x in operands]
        _same_bits(_run(name, start + len(X), *part)[start:], whole)


@given(st.lists(st.floats(0, width=32), min_size=1, max_size=40))
def test_square_roots_are_correctly_rounded(values):
    x = np.array(values, dtype=np.float32)
    _same_bits(_run("sqrt", len(x), x), np.sqrt(x.astype(np.float64)).astype(np.float32))


def test_majority_and_maximum_of_zeros():
    x = np.array([0.0, -0.0], dtype=np.float32)
    assert _run("majority", 2, x).tolist() == [1.0, 1.0]
    assert math.copysign(1.0, _run("max", 1, x[1:], 0.0)[0]) == -1.0


CLAMPS = [(-1.0, 2.0), (0.0, 0.5), (-math.inf, 1.0), (2.0, -1.0), (-1e300, 1e300)]


@pytest.mark.parametrize(("low", "high"), CLAMPS)
def test_clamp(low, high):
    with np.errstate(over="ignore"):
        bounds = np.float32(low), np.float32(high)
    expected = np.minimum(np.maximum(VALUES, bounds[0]), bounds[1]) + np.float32(0)
    lows, highs = (np.full(len(VALUES), bound) for bound in bounds)
    for operands in ((VALUES, low, high), (VALUES, lows, high), (VALUES, low, highs), (VALUES, lows, highs)):
        _same_bits(_run("clamp", len(VALUES), *operands) + np.float32(0), expected)


def test_clamp_of_a_number_into_its_own_bound():
    high = torch.tensor([1.0, 3.0])
    POINTWISE["clamp"](high, 2.0, 0.0, high)
    assert high.tolist() == [1.0, 2.0]


@pytest.mark.parametrize("numbers", range(7))
def test_where_selects_bits(numbers):
    mask = np.tile(np.array([0.0, 1.0], dtype=np.float32), (len(X) + 1) // 2)[: len(X)]
    operands = [mask, X, Y]
    for place, number in enumerate((1.0, math.nan, -0.0)):
        if numbers >> place & 1:
            operands[place] = number
    expected = np.where(np.asarray(operands[0]) != 0, *(np.float32(x) for x in operands[1:]))
    _same_bits(_run("where", len(X), *operands), np.broadcast_to(expected, len(X)))


@pytest.mark.parametrize("place", range(3))
def test_where_may_replace_an_operand(place):
    mask = (X > 0).astype(np.float32)
    operands = [torch.from_numpy(a.copy()) for a in (mask, X, Y)]
    POINTWISE["where"](operands[place], *operands)
    _same_bits(operands[place].numpy(), np.where(mask != 0, X, Y))


def test_row_statistics_broadcast():
    x = torch.arange(6.0).view(2, 3)
    row = torch.tensor([[10.0], [20.0]])
    out = torch.empty(2, 3)
    POINTWISE["add"](out, x, row)
    assert out.tolist() == [[10, 11, 12], [23, 24, 25]]
    POINTWISE["where"](out, torch.tensor([[1.0], [0.0]]), x, row)
    assert out.tolist() == [[0, 1, 2], [20, 20, 20]]


def _cast(values, source, target):
    out = torch.empty(len(values), dtype=target)
    POINTWISE["cast"](out, torch.from_numpy(np.asarray(values)).to(source))
    return out


@cache
def _grid(dtype):
    """Return all magnitudes of a 16-bit type, and the one that would follow."""
    patterns = torch.arange(0x7F80 if dtype == torch.bfloat16 else 0x7C00, dtype=torch.int16)
    grid = patterns.view(dtype).double().tolist()
    return [*grid, 2 * grid[-1] - grid[-2]]


def _nearest(value, dtype):
    """Return the nearest value of a 16-bit type, ties to the even pattern, by exact arithmetic."""
    grid = _grid(dtype)
    place = bisect_left(grid, abs(value))
    near = [i for i in (place - 1, place) if 0 <= i < len(grid)]
    best = min(near, key=lambda i: (abs(Fraction(grid[i]) - abs(Fraction(value))), i % 2))
    return math.copysign(grid[best] if best < len(grid) - 1 else math.inf, value)


def _around(dtype):
    """Return float64 values close to the midpoints between neighbours of a 16-bit type."""
    grid = _grid(dtype)
    place = st.integers(0, len(grid) - 2)
    offset = st.sampled_from([0.0, 2.0**-40, -(2.0**-40), 2.0**-51, -(2.0**-51), 0.3])

    def value(place, offset, sign):
        return sign * ((grid[place] + grid[place + 1]) / 2) * (1 + offset)

    return st.builds(value, place, offset, st.sampled_from([1.0, -1.0]))


@given(st.lists(_around(torch.bfloat16) | st.floats(-3.3e38, 3.3e38), min_size=1, max_size=20))
def test_cast_float64_to_bfloat16_rounds_once(values):
    actual = _cast(np.array(values), torch.float64, torch.bfloat16).double().tolist()
    assert actual == [_nearest(v, torch.bfloat16) for v in values]


@given(st.lists(_around(torch.float16) | st.floats(-1e5, 1e5), min_size=1, max_size=20))
def test_cast_float64_to_float16_rounds_once(values):
    actual = _cast(np.array(values), torch.float64, torch.float16).double().tolist()
    assert actual == [_nearest(v, torch.float16) for v in values]


@pytest.mark.parametrize("target", [torch.bfloat16, torch.float16])
@given(bits=st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=40))
def test_cast_float32_to_16_bits(target, bits):
    x = np.array(bits, dtype=np.uint32).view(np.float32)
    x = x[np.isfinite(x)]
    assert _cast(x, torch.float32, target).double().tolist() == [_nearest(float(v), target) for v in x]


def test_cast_to_wider_types_is_exact():
    patterns = torch.arange(-(1 << 15), 1 << 15, dtype=torch.int32).to(torch.int16)
    for dtype in (torch.bfloat16, torch.float16):
        x = patterns.view(dtype)
        x = x[torch.isfinite(x)]
        for target in (torch.float32, torch.float64):
            out = torch.empty(len(x), dtype=target)
            POINTWISE["cast"](out, x)
            assert torch.equal(out.to(dtype).view(torch.int16), x.view(torch.int16))


def test_cast_overflows_to_infinity():
    assert _cast(np.array([1e39, -1e39]), torch.float64, torch.bfloat16).tolist() == [math.inf, -math.inf]
    assert _cast(np.array([65520.0, 65519.0]), torch.float32, torch.float16).tolist() == [math.inf, 65504.0]


@pytest.mark.parametrize(("target", "bits"), [(torch.bfloat16, 0x7FC0), (torch.float16, 0x7E00)])
def test_cast_writes_one_kind_of_nan(target, bits):
    x = np.array([0x7F800001, 0xFFC12345, 0x7FD54321, 0xFFFFFFFF, 0x3F800000], dtype=np.uint32).view(np.float32)
    for repeats in (1, 40):
        out = _cast(np.tile(x, repeats), torch.float32, target).view(torch.int16)
        assert out.view(-1, 5)[:, :4].eq(bits).all()
    assert _cast(x, torch.float32, torch.float32).view(torch.int32)[:4].eq(0x7FC00000).all()


def test_cast_of_nothing():
    POINTWISE["cast"](torch.empty(0, dtype=torch.float16), torch.empty(0))


def test_zeros():
    assert np.array_equal(_run("zeros", 3).view(np.uint32), [0, 0, 0])
