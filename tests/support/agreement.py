"""Compare a compiled loop with the kernels, bit for bit, on all there is to it; any NaN stands for any other."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from functools import cache
from itertools import cycle, product
from typing import Any, TypeAlias

import numpy as np
import torch

from mergegraph.dtypes import FLOAT32
from mergegraph.execute.agreement import (
    COUNT,
    DENSITIES,
    LENGTHS,
    MASKS,
    MOST_ROWS,
    NUMBERS,
    PARTS,
    ROW,
    ROWS,
    SPECIAL,
    START,
    numbers_of,
)
from mergegraph.execute.interpreted import TORCH_DTYPES
from mergegraph.execute.loops import DRAW, Loop
from mergegraph.execute.steps import Segment, Value, native
from mergegraph.kernels.bits import magnitudes
from mergegraph.kernels.counting import INFINITY, Limit
from mergegraph.kernels.limit import MagnitudeLimit
from mergegraph.kernels.magnitude import MagnitudeHistogram
from mergegraph.kernels.native import PARTIAL, SCANNED, WHOLE
from mergegraph.kernels.tables import POINTWISE, REDUCTIONS, SCANS
from mergegraph.kernels.tile import Tile
from mergegraph.plan.program import Instruction, Operand, Place

Tiles: TypeAlias = dict[Place, torch.Tensor]
Twins: TypeAlias = dict[Instruction, tuple[Any, Any]]
"""For each scan its kernel, and what C has in place of that."""


def agrees(loop: Loop, segment: Segment) -> bool:
    """Tell whether `segment` does what the kernels do.

    It is tried on special values beside each other, small ones, equal ones and arbitrary bits, with several scalars;
    where there are scans, every other time without what is not finite.
    """
    if any(scan.op in WHOLE for scan in loop.scans):
        return all(_agrees_on_rows(loop, segment, trial, row) for trial, row in enumerate(ROWS))
    trials = range(len(NUMBERS) if loop.numbers or loop.draws or loop.scans else 1)
    kinds = [_given(loop, finite) for finite in ((False, True) if loop.scans else (False,))]
    return all(
        _same_after(loop, {place: x[:length] for place, x in given.items()}, segment, trial, length)
        for trial, given in zip(trials, cycle(kinds), strict=False)
        for length in ((*LENGTHS, COUNT) if trial < len(kinds) else (COUNT,))
    )


def _agrees_on_rows(loop: Loop, segment: Segment, trial: int, row: int) -> bool:
    """Compare what comes of tiles with rows of a length: of all kinds of numbers, and of such as weights are."""
    count = min(COUNT // row, MOST_ROWS) * row
    given = _given(loop, finite=trial % 2 == 0)
    if trial % 3 == 0:
        width = (0.3, 0.01, 2.0, 0.05)[trial // 3 % 4]
        given = {place: x.nan_to_num(0.1).clamp(-width, width) for place, x in given.items()}
    if "ranked_mask" in (scan.op for scan in loop.scans):
        given = {place: x.abs() for place, x in given.items()}
    first = trial * 1000 % (COUNT - count + 1)
    tiles = {place: x[first : first + count].view(-1, row) for place, x in given.items()}
    return _same_after(loop, tiles, segment, trial, count)


def _given(loop: Loop, finite: bool) -> Tiles:
    types = enumerate(zip(loop.places, loop.dtypes, strict=True))
    given = {place: _samples(dtype.name, number) for number, (place, dtype) in types}
    if finite:
        given = {place: torch.nan_to_num(x, 0.25, 3.0, -3.0).clamp(-1e3, 1e3) for place, x in given.items()}
    masks = {x for scan in loop.scans if scan.op in MASKS for x in scan.inputs}
    return {place: (x > 0.0).to(x.dtype) if place in masks else x for place, x in given.items()}


def _same_after(loop: Loop, given: Tiles, segment: Segment, trial: int, length: int) -> bool:
    """Compare what comes of two tiles that follow each other, and what scans have found in both."""
    value = numbers_of(loop, trial)
    twins: Twins = {}
    shape = next((x.shape for x in given.values()), (length,))
    row = shape[-1]
    # Sums begin with a block, tiles of whole rows with a row.
    start = START if len(shape) == 1 else START // row * row
    for tile in (Tile(start, length), Tile(start + length, length)):
        expected = _interpreted(loop, given, tile, value, twins, trial)
        tiles = {place: x.clone() for place, x in given.items()}
        addresses = [x.data_ptr() for x in tiles.values()]
        states = [twins[scan][1].state for scan in loop.scans]
        segment.function(*segment.arguments([(tile.start, tile.count)], [addresses], value, states)[0])
        if not all(_same(tiles[place], expected[place]) for place in loop.stored):
            return False
    return all(_alike(*twins[scan]) for scan in loop.scans if scan.op in REDUCTIONS)


def _alike(kernel: Any, twin: Any) -> bool:
    """Tell whether two reductions have found the same."""
    if isinstance(kernel, MagnitudeLimit):
        again, also = kernel.again(), twin.again()
        if again or also:
            return bool(again == also and kernel.bracket == twin.bracket)
    found, other = kernel.result(), twin.result()
    if isinstance(found, Limit):
        return bool(found == other)
    values = np.asarray(found)
    return bool(np.array_equal(values, np.asarray(other), equal_nan=values.dtype.kind == "f"))


@cache
def _samples(dtype: str, number: int) -> torch.Tensor:
    random = torch.Generator().manual_seed(number)
    special = torch.tensor(list(product(SPECIAL, SPECIAL)))[:, number % 2].roll(number // 2)
    small = torch.randn(1000, generator=random) * 0.02
    equal = torch.randint(-2, 3, (1000,), generator=random) / 4
    kind = TORCH_DTYPES[dtype]
    bits = torch.randint(0, 256, (1001 * kind.itemsize,), generator=random, dtype=torch.uint8).view(kind)
    return torch.cat([torch.cat([special, small, equal]).to(kind), bits])


def _interpreted(loop: Loop, given: Tiles, tile: Tile, value: Value, twins: Twins, trial: int) -> Tiles:
    """Return the tiles after the instructions, computed by the kernels."""
    dtypes = dict(zip(loop.places, loop.dtypes, strict=True))
    tiles = dict(given)
    for instruction in loop.instructions:
        shape = next(iter(given.values())).shape if given else (tile.count,)
        out = torch.empty(shape, dtype=TORCH_DTYPES[dtypes.get(instruction.out, FLOAT32).name])
        if instruction.op in SCANNED or instruction.op in WHOLE:
            _scan(instruction, tiles, tile, out, twins, trial)
        elif instruction.op == DRAW:
            SCANS[DRAW](tuple(map(value, instruction.inputs))).update(tile, out)
        else:
            POINTWISE[instruction.op](out, *(_operand(x, tiles, value) for x in instruction.inputs))
        if instruction.out.kind != "scalar":
            tiles[instruction.out] = out
    return tiles


def _scan(scan: Instruction, tiles: Tiles, tile: Tile, out: torch.Tensor, twins: Twins, trial: int) -> None:
    """Run the kernel of a reduction or scan on a tile."""
    given = [tiles[x] for x in scan.inputs if isinstance(x, Place) and x in tiles]
    if scan not in twins:
        scalars, settings = _settings(scan.op, given, tile, trial)
        kernel = (REDUCTIONS if scan.op in REDUCTIONS else SCANS)[scan.op](scalars, **settings)
        twins[scan] = kernel, native(scan, scalars, settings, PARTS[trial % 2], out.shape[-1])
        if scan.op == "magnitude_limit" and trial % 3 == 2:
            # As if a pass had shown that the sample was misleading.
            for twin in twins[scan]:
                twin.again()
    kernel, _ = twins[scan]
    if scan.op in PARTIAL:
        count = -(-tile.count // PARTS[trial % 2])
        kernel.update(Tile(tile.start, count), given[0][:count])
    else:
        kernel.update(tile, *([] if scan.op in REDUCTIONS else [out]), *given)


def _settings(op: str, given: Sequence[torch.Tensor], tile: Tile, trial: int) -> tuple[tuple[Any, ...], dict[str, int]]:
    """Return scalars and settings for a kernel that is to see a tile and another like it."""
    most = tile.start + 2 * tile.count
    share = DENSITIES[trial % len(DENSITIES)]
    if op == "magnitude_limit":
        sample = MagnitudeHistogram()
        sample.update(tile, given[0])
        return (sample.result(), round(share * 2 * tile.count)), {"size": 2 * tile.count}
    if op == "threshold":
        return (_limit(given[0], share, trial),), {}
    if op == "packed_mask":
        return (), {"size": most}
    if op == "unpacked_mask":
        return (np.random.default_rng(trial).integers(0, 256, -(-most // 8), dtype=np.uint8),), {}
    if op in ("row_dot", "row_divergences"):
        return (), {"rows": most // given[0].shape[-1]}
    if op == "ranked_mask":
        low = 0.5 * share
        return (low, low + (0.3, 0.0, 0.5)[trial % 3], 77 * trial), {}
    if op == "column_dot":
        return (), {"columns": ROW}
    if op == "spread_columns":
        return (array("d", np.random.default_rng(trial).standard_normal(ROW)),), {}
    if op == "spread_rows":
        return (array("d", np.random.default_rng(trial).standard_normal(-(-most // ROW))),), {"length": ROW}
    return (), {}


def _limit(x: torch.Tensor, share: float, trial: int) -> Limit:
    """Return a magnitude of `x`, of whose equals some, all or none are kept."""
    sizes = magnitudes(x).sort().values
    bits = int(sizes[int(share * (len(x) - 1))])
    equal = 2 * int((sizes == bits).sum())
    ties = (equal, 1, equal - 1, 0, equal // 2)[trial % 5]
    return Limit(bits, ties, equal, nonfinite=int(bits >= INFINITY or trial % 2))


def _operand(operand: Operand, tiles: Tiles, value: Value) -> Any:
    return tiles[operand] if isinstance(operand, Place) and operand in tiles else value(operand)


def _same(actual: torch.Tensor, expected: torch.Tensor) -> bool:
    integer = {2: torch.int16, 4: torch.int32, 8: torch.int64}[actual.dtype.itemsize]
    equal = (actual.view(integer) == expected.view(integer)) | (actual.isnan() & expected.isnan())
    return bool(equal.all())
