import math

import numpy as np
import pytest
import torch

from mergegraph.kernels.exponential import exponential, series
from mergegraph.kernels.tables import REDUCTIONS, SCANS
from mergegraph.kernels.tile import Tile

SHAPES = [(1, 1), (5, 1), (1, 70_000), (7, 13), (300, 257), (2, 66_000)]


def matrices(shape, count=2, scale=0.02):
    rng = np.random.default_rng(sum(shape))
    return rng.normal(0, scale, (count, *shape)).astype(np.float32)


def reduced(name, *arrays, step=None):
    """Feed a reduction matrices, `step` rows at a time, and return its result."""
    rows, length = arrays[0].shape
    kernel = REDUCTIONS[name]((), rows=rows)
    for start in range(0, rows, step or rows):
        parts = [torch.from_numpy(array[start : start + (step or rows)]) for array in arrays]
        kernel.update(Tile(start * length, parts[0].numel()), *parts)
    return np.array(kernel.result())


def divergences(a, b):
    """Return the divergence of each row, in long double where there is one."""
    a, b = a.astype(np.longdouble), b.astype(np.longdouble)
    p, q = (np.exp(x - x.max(axis=1, keepdims=True)) for x in (a, b))
    p, q = (x / x.sum(axis=1, keepdims=True) for x in (p, q))
    return (p * (np.log(p) - np.log(q))).sum(axis=1)


@pytest.mark.usefixtures("arithmetic")
@pytest.mark.parametrize("shape", SHAPES)
def test_row_dots(shape):
    x, y = matrices(shape)
    exact = [math.fsum((a * b).tolist()) for a, b in zip(x.astype(float), y.astype(float), strict=True)]
    found = reduced("row_dot", x, y)
    np.testing.assert_allclose(found, exact, rtol=0, atol=1e-15 * shape[1])
    np.testing.assert_array_equal(found, reduced("row_dot", x, y, step=1))


@pytest.mark.usefixtures("arithmetic")
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scale", [1e-3, 0.02, 3.0])
def test_row_divergences(shape, scale):
    a, d = matrices(shape, scale=scale)
    b = a + d * np.float32(0.1)
    found = reduced("row_divergences", a, b)
    np.testing.assert_allclose(found, divergences(a, b).astype(float), rtol=2e-6, atol=1e-17)
    np.testing.assert_array_equal(found, reduced("row_divergences", a, b, step=1))


@pytest.mark.usefixtures("arithmetic")
def test_divergences_of_rows_of_many_sizes_side_by_side():
    a, d = matrices((40, 300))
    sizes = np.geomspace(1e-3, 1e3, 40).astype(np.float32)[:, None]
    a *= sizes
    b = a + d * np.roll(sizes, 11, axis=0)
    found = reduced("row_divergences", a, b)
    np.testing.assert_allclose(found, divergences(a, b).astype(float), rtol=2e-6, atol=1e-17)
    np.testing.assert_array_equal(found, reduced("row_divergences", a, b, step=1))


def test_rows_that_are_equal_do_not_diverge():
    (a,) = matrices((4, 100), 1)
    assert reduced("row_divergences", a, a).tolist() == [0.0] * 4
    shifted = np.array([[1.0, 2.0, 4.0]], np.float32)
    assert reduced("row_divergences", shifted + 2, shifted).tolist() == [0.0]


def test_divergences_of_rows_far_apart_are_finite():
    a = np.array([[0.0, 0.0], [1e4, 0.0], [-1e30, 0.0]], np.float32)
    found = reduced("row_divergences", a, np.array([[500.0, 0.0], [0.0, 0.0], [0.0, -1e30]], np.float32))
    np.testing.assert_allclose(found[:2], [500 / 2 - math.log(2), math.log(2)], rtol=1e-12)
    assert np.isfinite(found).all()


def test_the_divergence_of_a_row_with_nan_is_nan():
    a, b = matrices((3, 10))
    a[1, 4] = np.nan
    assert np.isnan(reduced("row_divergences", a, b)).tolist() == [False, True, False]


@pytest.mark.usefixtures("arithmetic")
@pytest.mark.parametrize("shape", SHAPES)
def test_row_ranks(shape):
    (x,) = matrices(shape, 1)
    x[np.random.default_rng(0).random(shape) < 0.4] = -0.01
    order = np.argsort(np.abs(x), axis=1, kind="stable")
    expected = np.argsort(order, axis=1, kind="stable")
    out = torch.empty(shape)
    SCANS["row_ranks"](()).update(Tile(0, x.size), out, torch.from_numpy(x))
    np.testing.assert_array_equal(out.numpy(), expected)


def test_ranks_of_special_values():
    x = torch.tensor([[torch.nan, -torch.inf, 0.0, -0.0, 1e-45, -1e-45, torch.inf]])
    out = torch.empty(x.shape)
    SCANS["row_ranks"](()).update(Tile(0, 7), out, x)
    assert out.tolist() == [[6.0, 4.0, 0.0, 1.0, 2.0, 3.0, 5.0]]


def exponent(x):
    return exponential(x.clone(), torch.empty_like(x), torch.empty_like(x))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_exponential(dtype):
    x = torch.linspace(-80, 80, 100_001, dtype=dtype)
    exact = np.exp(x.numpy().astype(np.longdouble))
    error = np.abs(exponent(x).numpy() / exact - 1).max()
    assert error < 3 * torch.finfo(dtype).eps
    assert exponent(torch.tensor([0.0, torch.nan], dtype=dtype)).nan_to_num(7.0).tolist() == [1.0, 7.0]
    assert torch.isfinite(exponent(torch.tensor([-torch.inf, torch.inf], dtype=dtype))).all()


@pytest.mark.parametrize(("reach", "terms"), [(1 / 64, 4), (1 / 16, 5), (1.0, 10)])
def test_series_of_the_second_remainder(reach, terms):
    x = torch.linspace(-reach, reach, 20_001)
    exact = x.numpy().astype(np.longdouble)
    expected = np.where(np.abs(exact) > 1e-3, np.expm1(exact) - exact, exact**2 / 2 + exact**3 / 6 + exact**4 / 24)
    found = series(x, 2, terms, torch.empty_like(x)).numpy() * exact**2
    inside = exact != 0
    assert np.abs(found[inside] / expected[inside] - 1).max() < 5e-7
