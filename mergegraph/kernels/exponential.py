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

    `high` and `low` add up to log 2, and n times `high` is exact. `degree` is that of the polynomial.
    """

    high: float
    low: float
    degree: int
    bias: int
    mantissa: int
    integer: torch.dtype
    lowest: float
    highest: float


_FORMATS = {
    torch.float32: _Format(0.693359375, -2.12194440e-4, 6, 127, 23, torch.int32, -87.0, 88.0),
    torch.float64: _Format(0.6931471803691238, 1.9082149292705877e-10, 13, 1023, 52, torch.int64, -708.0, 709.0),
}


def exponential(x: torch.Tensor, one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Return `e^x` to three units in the last place, in place of x; beyond the range about its ends. NaN stays.

    It works in two tensors like x.
    """
    form = _FORMATS[x.dtype]
    torch.mul(x.clamp_(form.lowest, form.highest), 1.0 / math.log(2.0), out=one).round_()
    x.sub_(torch.mul(one, form.high, out=other)).sub_(torch.mul(one, form.low, out=other))
    power = series(x, 0, form.degree, other)
    scale = x.view(form.integer).copy_(one).add_(form.bias).bitwise_left_shift_(form.mantissa)
    return torch.mul(power, scale.view(x.dtype), out=x)


def series(x: torch.Tensor, first: int, last: int, out: torch.Tensor) -> torch.Tensor:
    """Write the sum of `x^(k − first) / k!` over k from `first` to `last`."""
    torch.mul(x, 1.0 / math.factorial(last), out=out)
    for k in range(last - 1, first, -1):
        out.add_(1.0 / math.factorial(k)).mul_(x)
    return out.add_(1.0 / math.factorial(first))
