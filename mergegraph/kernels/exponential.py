"""Exponentials from additions and multiplications alone, so that every CPU and device gives the same bits.

Those of the vector libraries differ in the last bits from one width of vectors to the next.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class _Format:
    """How `exp` is taken in a float format: `2^n · e^r` with `n = round(x / log 2)`, `e^r` a polynomial.

    `high` and `low` add up to log 2, and n times `high` is exact. `terms` is the degree.
    """

    high: float
    low: float
    terms: int
    bias: int
    mantissa: int
    integer: torch.dtype
    lowest: float
    highest: float


_FORMATS = {
    torch.float32: _Format(0.693359375, -2.12194440e-4, 7, 127, 23, torch.int32, -87.0, 88.0),
    torch.float64: _Format(0.6931471803691238, 1.9082149292705877e-10, 13, 1023, 52, torch.int64, -708.0, 709.0),
}


def exponential(x: torch.Tensor) -> torch.Tensor:
    """Return `e^x` to two units in the last place; beyond the range of the format, about its ends. NaN stays NaN."""
    form = _FORMATS[x.dtype]
    x = x.clamp(form.lowest, form.highest)
    whole = (x * (1.0 / math.log(2.0))).round_()
    rest = x.sub_(whole * form.high).sub_(whole * form.low)
    power = _series(rest, 0, form.terms)
    scale = whole.to(form.integer).add_(form.bias).bitwise_left_shift_(form.mantissa)
    return power.mul_(scale.view(x.dtype))


def second_remainder(x: torch.Tensor) -> torch.Tensor:
    """Return `e^x − 1 − x` for float32 from −1 to 1, to about eight units in the last place."""
    return _series(x, 2, 10).mul_(x).mul_(x)


def _series(x: torch.Tensor, first: int, last: int) -> torch.Tensor:
    """Return the sum of `x^(k − first) / k!` over k from `first` to `last`."""
    total = x * (1.0 / math.factorial(last))
    for k in range(last - 1, first, -1):
        total.add_(1.0 / math.factorial(k)).mul_(x)
    return total.add_(1.0 / math.factorial(first))
