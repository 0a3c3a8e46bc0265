"""Compute a tile element by element: one correctly rounded float32 operation per element and call.

No kernel here may round a product and a sum at once, or give other bits in the last elements of a tile than in the
vectorized rest; so the bytes do not depend on how tiles are cut or on the width of a CPU's vectors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType

import numpy as np
import torch

Operand = torch.Tensor | float
Kernel = Callable[..., None]


def _operand(x: Operand) -> torch.Tensor:
    return x if isinstance(x, torch.Tensor) else _constant(x, math.copysign(1.0, x))


@lru_cache(maxsize=4096)
def _constant(number: float, sign: float) -> torch.Tensor:
    """Return a number, which only with its sign is no other, as a tensor without dimensions.

    torch takes these in half the time that it takes Python's numbers. Numbers too large for float32 become infinite.
    """
    return torch.tensor(number, dtype=torch.float32)


def _zeros(out: torch.Tensor) -> None:
    out.zero_()


def _unary(function: Callable[..., torch.Tensor]) -> Kernel:
    def kernel(out: torch.Tensor, x: torch.Tensor) -> None:
        function(x, out=out)

    return kernel


def _binary(function: Callable[..., torch.Tensor]) -> Kernel:
    def kernel(out: torch.Tensor, x: Operand, y: Operand) -> None:
        function(_operand(x), _operand(y), out=out)

    return kernel


def _divide(out: torch.Tensor, x: Operand, y: Operand) -> None:
    # By a number that is not on the device, CUDA divides by multiplying with its rounded reciprocal.
    torch.div(_operand(x), _operand(y).to(out.device), out=out)


def _extreme(of_two: Callable[..., torch.Tensor], bounded: Callable[..., torch.Tensor]) -> Kernel:
    def kernel(out: torch.Tensor, x: Operand, y: Operand) -> None:
        if isinstance(x, torch.Tensor) and isinstance(y, torch.Tensor):
            # Of 0.0 and -0.0 either may come out, by place in the vector: adding 0.0 makes it 0.0.
            of_two(x, y, out=out).add_(_ZERO)
            return
        tensor, number = (x, y) if isinstance(x, torch.Tensor) else (y, x)
        bounded(tensor, _operand(number).item(), out=out)

    return kernel


def _clamp(out: torch.Tensor, x: Operand, low: Operand, high: Operand) -> None:
    if isinstance(x, torch.Tensor) and not isinstance(low, torch.Tensor) and not isinstance(high, torch.Tensor):
        torch.clamp(x, _operand(low).item(), _operand(high).item(), out=out)
        return
    raised = torch.maximum(_operand(x), _operand(low))
    torch.minimum(raised, _operand(high), out=out).add_(_ZERO)


def _sqrt(out: torch.Tensor, x: torch.Tensor) -> None:
    if not out.is_cpu:
        torch.sqrt(x, out=out)
        return
    # On CPUs torch takes the root from a vector library that misses the nearest float in one of six cases.
    with np.errstate(invalid="ignore"):
        np.sqrt(x.numpy(), out=out.numpy())


def _where(out: torch.Tensor, mask: Operand, x: Operand, y: Operand) -> None:
    # Selecting bits takes a quarter of the time of torch.where on a bool mask. -bits(1.0) >> 31 is -1: all bits.
    chosen, other = _operand(x).view(torch.int32), _operand(y).view(torch.int32)
    select = -_operand(mask).view(torch.int32) >> 31
    torch.bitwise_xor(other, (chosen ^ other) & select, out=out.view(torch.int32))


def _majority(out: torch.Tensor, x: torch.Tensor) -> None:
    torch.ge(x, _ZERO, out=out)
    torch.add(_MINUS_ONE, out, alpha=2, out=out)  # Exact, in one rounding or in two.


def _cast(out: torch.Tensor, x: torch.Tensor) -> None:
    """Round to the nearest value of `out`'s type, ties to even. Any NaN that was computed becomes the default one."""
    wide = x.dtype.itemsize
    out.copy_(_round_to_odd(x) if wide == 8 and out.dtype.itemsize == 2 else x)
    # The bits of a NaN that comes out of an operation or a rounding differ between CPUs.
    if wide >= out.dtype.itemsize and len(x) and math.isnan(torch.amax(x).item()):
        out.masked_fill_(x.isnan(), math.nan)


def _round_to_odd(x: torch.Tensor) -> torch.Tensor:
    """Return float64 as float32, such that rounding once more to 16 bits gives what rounding once would have given.

    torch goes through float32 too, but rounds to nearest twice. Here inexact values are cut off and made to end in an
    odd bit (Boldo and Melquiond, 2008).
    """
    nearest = x.float()
    back = nearest.double()
    bits = nearest.view(torch.int32)
    bits -= (back.abs() > x.abs()).int()
    bits |= (back != x).int()
    return nearest


_ZERO = _operand(0.0)
_MINUS_ONE = _operand(-1.0)

POINTWISE: Mapping[str, Kernel] = MappingProxyType(
    {
        "zeros": _zeros,
        "add": _binary(torch.add),
        "subtract": _binary(torch.sub),
        "multiply": _binary(torch.mul),
        "divide": _divide,
        "negate": _unary(torch.neg),
        "abs": _unary(torch.abs),
        "sign": _unary(torch.sign),
        "sqrt": _sqrt,
        "min": _extreme(torch.minimum, torch.clamp_max),
        "max": _extreme(torch.maximum, torch.clamp_min),
        "clamp": _clamp,
        "majority": _majority,
        "less": _binary(torch.lt),
        "less_equal": _binary(torch.le),
        "greater": _binary(torch.gt),
        "greater_equal": _binary(torch.ge),
        "equal": _binary(torch.eq),
        "not_equal": _binary(torch.ne),
        "where": _where,
        "cast": _cast,
    }
)
"""Every kernel by its op: `kernel(out, *operands)`.

Operands are float32 tensors of `out`'s shape, which may be `out` itself, or, but for one, numbers, which are rounded
to float32. Masks are 0.0 and 1.0. `sign(NaN)` is 0, `majority(x)` is 1 where `x >= 0` and -1 elsewhere. A zero from
`min` or `max` of two tensors is 0.0. `cast` goes between float64, float32, float16 and bfloat16.
"""
