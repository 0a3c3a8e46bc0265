"""Compare a compiled loop with the kernels, bit for bit; any NaN stands for any other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from itertools import product
from math import inf, nan

import torch

from mergegraph.dtypes import FLOAT32
from mergegraph.execute.arena import TORCH_DTYPES
from mergegraph.execute.loops import Loop
from mergegraph.kernels import POINTWISE
from mergegraph.plan.program import Place

_SIZES = (0.0, 1e-45, 1.1754942e-38, 1.1754944e-38, 1e-30, 6e-8, 6.1e-5, 0.1, 0.5, 1.0, 1.5, 3.0, 65519.0, 65520.0)
_SPECIAL = (*_SIZES, *(-x for x in _SIZES), 3.4e38, -3.4028235e38, inf, -inf, nan)
_NUMBERS = (0.3, -1.25, 1.0, 0.0, -0.0, 1e-7, 1e-41, inf, -inf, nan)
_LENGTHS = (1, 3, 21)
"""Short tiles, of which the compiler computes all elements as it does the last ones of a long tile."""

Tiles = dict[Place, torch.Tensor]


def agrees(loop: Loop, call: Callable[[Sequence[torch.Tensor], Sequence[float]], None]) -> bool:
    """Tell whether `call(tiles, scalars)` does what the kernels do.

    It is tried on special values beside each other, small ones, equal ones and arbitrary bits, with several scalars.
    """
    given = {place: _samples(d.name, i) for i, (place, d) in enumerate(zip(loop.places, loop.dtypes, strict=True))}
    for draw in range(len(_NUMBERS) if loop.scalars else 1):
        numbers = [_NUMBERS[(draw + i) % len(_NUMBERS)] for i in range(len(loop.scalars))]
        expected = _interpreted(loop, given, numbers)
        for length in (*_LENGTHS, None):
            tiles = {place: tile[:length].clone() for place, tile in given.items()}
            call(list(tiles.values()), numbers)
            if not all(_same(tiles[place], expected[place][:length]) for place in loop.stored):
                return False
    return True


@cache
def _samples(dtype: str, number: int) -> torch.Tensor:
    random = torch.Generator().manual_seed(number)
    special = torch.tensor(list(product(_SPECIAL, _SPECIAL)))[:, number % 2].roll(number // 2)
    small = torch.randn(1000, generator=random) * 0.02
    equal = torch.randint(-2, 3, (1000,), generator=random) / 4
    kind = TORCH_DTYPES[dtype]
    bits = torch.randint(0, 256, (1001 * kind.itemsize,), generator=random, dtype=torch.uint8).view(kind)
    return torch.cat([torch.cat([special, small, equal]).to(kind), bits])


def _interpreted(loop: Loop, given: Tiles, numbers: Sequence[float]) -> Tiles:
    """Return the tiles after the instructions, computed by the kernels."""
    dtypes = dict(zip(loop.places, loop.dtypes, strict=True))
    scalars = dict(zip(loop.scalars, numbers, strict=True))
    tiles = dict(given)
    for instruction in loop.instructions:
        kind = TORCH_DTYPES[dtypes.get(instruction.out, FLOAT32).name]
        out = torch.empty(len(next(iter(given.values()))), dtype=kind)
        operands = [x if isinstance(x, float) else scalars[x] if x in scalars else tiles[x] for x in instruction.inputs]
        POINTWISE[instruction.op](out, *operands)
        tiles[instruction.out] = out
    return tiles


def _same(actual: torch.Tensor, expected: torch.Tensor) -> bool:
    integer = {2: torch.int16, 4: torch.int32, 8: torch.int64}[actual.dtype.itemsize]
    equal = (actual.view(integer) == expected.view(integer)) | (actual.isnan() & expected.isnan())
    return bool(equal.all())
