"""Compute a tile element by element: one correctly rounded float32 operation per element and call.

No kernel here may round a product and a sum at once, or give other bits in the last elements of a tile than in the
vectorized rest; so the bytes do not depend on how tiles are cut or on the width of a CPU's vectors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from types import MappingProxyType

import numpy as np
import torch

Operand = torch.Tensor | float
Kernel = Callable[..., None]


def _pointwise(function: Kernel) -> Kernel:
    """Let a kernel that needs one tensor among its operands also take numbers alone."""

    @wraps(function)
    def kernel(out: torch.Tensor, *operands: Operand) -> None:
        if any(isinstance(operand, torch.Tensor) for operand in operands):
            function(out, *operands)
            return
        single = out.new_empty(())
        function(single, *(_lift(operand, out) for operand in operands))
        out.copy_(single)

    return kernel


def _lift(operand: Operand, out: torch.Tensor) -> torch.Tensor:
    """Return a number as a tensor without dimensions; too large ones become infinite."""
    if isinstance(operand, torch.Tensor):
        return operand
    return torch.tensor(operand, dtype=out.dtype, device=out.device)


def _unary(function: Callable[..., torch.Tensor]) -> Kernel:
    @_pointwise
    def kernel(out: torch.Tensor, x: torch.Tensor) -> None:
        function(x, out=out)

    return kernel


def _binary(function: Callable[..., torch.Tensor]) -> Kernel:
    @_pointwise
    def kernel(out: torch.Tensor, x: Operand, y: Operand) -> None:
        function(_lift(x, out), y, out=out)

    return kernel


@_pointwise
def _divide(out: torch.Tensor, x: Operand, y: Operand) -> None:
    # A plain number as divisor becomes a multiplication by its rounded reciprocal on CUDA.
    torch.div(_lift(x, out), _lift(y, out), out=out)


def _extreme(of_two: Callable[..., torch.Tensor], bounded: Callable[..., torch.Tensor]) -> Kernel:
    @_pointwise
    def kernel(out: torch.Tensor, x: Operand, y: Operand) -> None:
        if isinstance(x, torch.Tensor) and isinstance(y, torch.Tensor):
            # Of 0.0 and -0.0 either may come out, by place in the vector: adding 0.0 makes it 0.0.
            of_two(x, y, out=out).add_(0.0)
            return
        tensor, number = (x, y) if isinstance(x, torch.Tensor) else (y, x)
        bounded(tensor, _single(number), out=out)

    return kernel


def _single(operand: Operand) -> float:
    return torch.tensor(operand, dtype=torch.float32).item()


@_pointwise
def _clamp(out: torch.Tensor, x: Operand, low: Operand, high: Operand) -> None:
    if isinstance(x, torch.Tensor) and not isinstance(low, torch.Tensor) and not isinstance(high, torch.Tensor):
        torch.clamp(x, _single(low), _single(high), out=out)
        return
    raised = torch.maximum(_lift(x, out), _lift(low, out))
    torch.minimum(raised, _lift(high, out), out=out).add_(0.0)


@_pointwise
def _sqrt(out: torch.Tensor, x: torch.Tensor) -> None:
    if not out.is_cpu:
        torch.sqrt(x, out=out)
        return
    # On CPUs torch takes the root from a vector library that misses the nearest float in one of six cases.
    with np.errstate(invalid="ignore"):
        np.sqrt(x.numpy(), out=out.numpy())


@_pointwise
def _where(out: torch.Tensor, mask: Operand, x: Operand, y: Operand) -> None:
    # Selecting bits takes a quarter of the time of torch.where on a bool mask. -bits(1.0) >> 31 is -1: all bits.
    select = -_bits(mask) >> 31
    torch.bitwise_xor(_bits(y), (_bits(x) ^ _bits(y)) & select, out=out.view(torch.int32))


def _bits(operand: Operand) -> torch.Tensor:
    if isinstance(operand, torch.Tensor):
        return operand.view(torch.int32)
    return torch.tensor(operand, dtype=torch.float32).view(torch.int32)


@_pointwise
def _majority(out: torch.Tensor, x: torch.Tensor) -> None:
    torch.ge(x, 0.0, out=out).sub_(0.5).mul_(2.0)


def _cast(out: torch.Tensor, x: Operand) -> None:
    """Round to the nearest value of `out`'s type, ties to even. Any NaN that was computed becomes the default one."""
    source = x if isinstance(x, torch.Tensor) else torch.tensor(x, dtype=torch.float64)
    narrowing = source.dtype == torch.float64 and out.dtype.itemsize == 2
    out.copy_(_round_to_odd(source) if narrowing else source)
    # The bits of a NaN that comes out of an operation or a rounding differ between CPUs.
    widening = source.dtype.itemsize < out.dtype.itemsize
    if not widening and source.numel() and torch.amax(source).isnan():
        out.masked_fill_(source.isnan(), float("nan"))


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


POINTWISE: Mapping[str, Kernel] = MappingProxyType(
    {
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

Operands are float32 tensors of `out`'s shape, which may be `out` itself, or numbers, which are rounded to float32.
Masks are 0.0 and 1.0. `sign(NaN)` is 0, `majority(x)` is 1 where `x >= 0` and -1 elsewhere. A zero from `min` or `max`
of two tensors is 0.0. `cast` goes between float64, float32, float16 and bfloat16.
"""
