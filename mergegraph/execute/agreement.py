"""Compare a compiled loop with the kernels, bit for bit; any NaN stands for any other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from itertools import product
from math import inf, nan
from typing import Any, TypeAlias

import torch

from mergegraph.dtypes import FLOAT32
from mergegraph.execute.arena import TORCH_DTYPES
from mergegraph.execute.loops import DRAW, Loop
from mergegraph.kernels import BLOCK, POINTWISE, SCANS, Tile
from mergegraph.plan.program import Operand, Place

_SIZES = (0.0, 1e-45, 1.1754942e-38, 1.1754944e-38, 1e-30, 6e-8, 6.1e-5, 0.1, 0.5, 1.0, 1.5, 3.0, 65519.0, 65520.0)
_SPECIAL = (*_SIZES, *(-x for x in _SIZES), 3.4e38, -3.4028235e38, inf, -inf, nan)
_NUMBERS = (0.3, -1.25, 1.0, 0.0, -0.0, 1e-7, 1e-41, inf, -inf, nan)
_LENGTHS = (1, 3, 21)
"""Short tiles, of which the compiler computes all elements as it does the last ones of a long tile."""

_DENSITIES = (0.5, 0.3, 1.0, 0.0, 1e-9, 0.75)
_START = 3 * BLOCK + 1_000

Tiles: TypeAlias = dict[Place, torch.Tensor]
Value: TypeAlias = Callable[[Operand], Any]
"""Tells the number that stands in place of an operand."""


def agrees(loop: Loop, call: Callable[[Tile, Sequence[torch.Tensor], Value], None]) -> bool:
    """Tell whether `call(tile, its pieces of all tensors, value)` does what the kernels do.

    It is tried on special values beside each other, small ones, equal ones and arbitrary bits, with several scalars.
    """
    given = {place: _samples(d.name, i) for i, (place, d) in enumerate(zip(loop.places, loop.dtypes, strict=True))}
    count = len(_samples("float32", 0))
    for trial in range(len(_NUMBERS) if loop.scalars or loop.draws else 1):
        value = _values(loop, trial)
        expected = _interpreted(loop, given, Tile(_START, count), value)
        for length in (*_LENGTHS, count):
            tiles = {place: tile[:length].clone() for place, tile in given.items()}
            call(Tile(_START, length), list(tiles.values()), value)
            if not all(_same(tiles[place], expected[place][:length]) for place in loop.stored):
                return False
    return True


def _values(loop: Loop, trial: int) -> Value:
    """Return the numbers of a trial."""
    found: dict[Operand, Any] = {x: _NUMBERS[(trial + i) % len(_NUMBERS)] for i, x in enumerate(loop.scalars)}
    for i, (density, key) in enumerate(draw.inputs for draw in loop.draws):
        found |= {density: _DENSITIES[(trial + i) % len(_DENSITIES)], key: (trial << 40) + 77 * i}
    return lambda operand: found.get(operand, operand)


@cache
def _samples(dtype: str, number: int) -> torch.Tensor:
    random = torch.Generator().manual_seed(number)
    special = torch.tensor(list(product(_SPECIAL, _SPECIAL)))[:, number % 2].roll(number // 2)
    small = torch.randn(1000, generator=random) * 0.02
    equal = torch.randint(-2, 3, (1000,), generator=random) / 4
    kind = TORCH_DTYPES[dtype]
    bits = torch.randint(0, 256, (1001 * kind.itemsize,), generator=random, dtype=torch.uint8).view(kind)
    return torch.cat([torch.cat([special, small, equal]).to(kind), bits])


def _interpreted(loop: Loop, given: Tiles, tile: Tile, value: Value) -> Tiles:
    """Return the tiles after the instructions, computed by the kernels."""
    dtypes = dict(zip(loop.places, loop.dtypes, strict=True))
    tiles = dict(given)
    for instruction in loop.instructions:
        out = torch.empty(tile.count, dtype=TORCH_DTYPES[dtypes.get(instruction.out, FLOAT32).name])
        if instruction.op == DRAW:
            SCANS[DRAW](tuple(map(value, instruction.inputs))).update(tile, out)
        else:
            POINTWISE[instruction.op](out, *(_operand(x, tiles, value) for x in instruction.inputs))
        tiles[instruction.out] = out
    return tiles


def _operand(operand: Operand, tiles: Tiles, value: Value) -> Any:
    if isinstance(operand, float):
        return operand
    return tiles[operand] if operand in tiles else value(operand)


def _same(actual: torch.Tensor, expected: torch.Tensor) -> bool:
    integer = {2: torch.int16, 4: torch.int32, 8: torch.int64}[actual.dtype.itemsize]
    equal = (actual.view(integer) == expected.view(integer)) | (actual.isnan() & expected.isnan())
    return bool(equal.all())
