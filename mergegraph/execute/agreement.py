"""Compare a compiled loop with the same text compiled plainly, bit for bit; any NaN stands for any other."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from functools import cache
from itertools import cycle, product
from math import inf, nan
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from mergegraph.dtypes import Dtype
from mergegraph.execute.loops import Loop
from mergegraph.execute.steps import Segment, Value, native
from mergegraph.kernels.counting import BUCKETS, INFINITY, LOW_BITS, MAGNITUDE, Limit
from mergegraph.kernels.native import WHOLE
from mergegraph.kernels.tile import BLOCK
from mergegraph.plan.program import Instruction, Operand, Place

_SIZES = (0.0, 1e-45, 1.1754942e-38, 1.1754944e-38, 1e-30, 6e-8, 6.1e-5, 0.1, 0.5, 1.0, 1.5, 3.0, 65519.0, 65520.0)
SPECIAL = (*_SIZES, *(-x for x in _SIZES), 3.4e38, -3.4028235e38, inf, -inf, nan)
NUMBERS = (0.3, -1.25, 1.0, 0.0, -0.0, 1e-7, 1e-41, inf, -inf, nan)
LENGTHS = (1, 3, 21)
"""Short tiles, of which the compiler computes all elements as it does the last ones of a long tile."""

DENSITIES = (0.5, 0.3, 1.0, 0.0, 1e-9, 0.75)
START = 3 * BLOCK
ROW = 700
ROWS = (1000, 129, 7, 768, 3842, 2, 256, 300, 1920, 64)
MOST_ROWS = 20
PARTS = (1, 16)
MASKS = ("count", "packed_mask")

Bits: TypeAlias = npt.NDArray[Any]
"""Elements as the numbers that their bits are."""

Tiles: TypeAlias = Mapping[Place, Bits]


Pair: TypeAlias = tuple[Segment, Segment]
"""A loop compiled, and compiled plainly."""


def agrees(loop: Loop, pair: Pair) -> bool:
    """Tell whether both of a pair give the same bits.

    They are tried on special values beside each other, small ones, equal ones and arbitrary bits, with several scalars;
    where there are scans, every other time without what is not finite.
    """
    if any(scan.op in WHOLE for scan in loop.scans):
        return all(_agree_on_rows(loop, pair, trial, row) for trial, row in enumerate(ROWS))
    trials = range(len(NUMBERS) if loop.numbers or loop.draws or loop.scans else 1)
    kinds = [_given(loop, most) for most in ((inf, 1e3) if loop.scans else (inf,))]
    return all(
        _agree_after(loop, {place: x[:length] for place, x in given.items()}, pair, trial, length, ROW)
        for trial, given in zip(trials, cycle(kinds), strict=False)
        for length in ((*LENGTHS, COUNT) if trial < len(kinds) else (COUNT,))
    )


def _agree_on_rows(loop: Loop, pair: Pair, trial: int, row: int) -> bool:
    """Compare what comes of tiles with rows of a length: of all kinds of numbers, and of such as weights are."""
    count = min(COUNT // row, MOST_ROWS) * row
    first = trial * 1000 % (COUNT - count + 1)
    given = _given(loop, (0.3, inf, 1e3, 0.01, inf, 1e3, 2.0, inf, 1e3, 0.05)[trial])
    if "ranked_mask" in (scan.op for scan in loop.scans):
        given = {place: x & MAGNITUDE for place, x in given.items()}
    return _agree_after(loop, {place: x[first : first + count] for place, x in given.items()}, pair, trial, count, row)


def _agree_after(loop: Loop, given: Tiles, pair: Pair, trial: int, length: int, row: int) -> bool:
    """Compare what comes of two tiles that follow each other, and what scans have found in both."""
    value = numbers_of(loop, trial)
    # Sums begin with a block, tiles of whole rows with a row.
    start = START if row == ROW else START // row * row
    both = [[_scan(scan, given, start, length, trial, row) for scan in loop.scans] for _ in pair]
    for place in (start, start + length):
        left = []
        for segment, scans in zip(pair, both, strict=True):
            tiles = {name: x.copy() for name, x in given.items()}
            addresses = [x.ctypes.data for x in tiles.values()]
            states = [scan.state for scan in scans]
            segment.function(*segment.arguments([(place, length)], [addresses], value, states)[0])
            left.append(tiles)
        types = dict(zip(loop.places, loop.dtypes, strict=True))
        one, other = left
        if not all(_same(one[name], other[name], types[name]) for name in loop.stored):
            return False
    return all(map(_alike, loop.scans, *both))


def _given(loop: Loop, most: float) -> Tiles:
    """Return what is in the tiles at first; with a finite number nothing that is larger, or NaN."""
    masks = {x for scan in loop.scans if scan.op in MASKS for x in scan.inputs}
    types = enumerate(zip(loop.places, loop.dtypes, strict=True))
    return {place: _samples(dtype.name, number, most, place in masks) for number, (place, dtype) in types}


@cache
def _samples(dtype: str, number: int, most: float, mask: bool) -> Bits:
    random = np.random.default_rng(number)
    special = np.roll(np.array(list(product(SPECIAL, SPECIAL)))[:, number % 2], number // 2)
    small = random.standard_normal(1000) * 0.02
    equal = random.integers(-2, 3, 1000) / 4
    with np.errstate(over="ignore", invalid="ignore"):
        numbers = np.concatenate([special, small, equal])
        if most == inf and not mask:
            found = _bits(numbers, dtype)
            return np.concatenate([found, np.frombuffer(random.bytes(1001 * found.itemsize), found.dtype)])
        arbitrary = np.frombuffer(random.bytes(1001 * 4), np.float32)
        numbers = np.clip(np.nan_to_num(np.concatenate([numbers, arbitrary]), nan=0.25), -most, most)
        return _bits((numbers > 0.0).astype(np.float64) if mask else numbers, dtype)


def _bits(numbers: npt.NDArray[np.float64], dtype: str) -> Bits:
    """Return the bits of numbers in a type; those of bfloat16 are cut off, not rounded."""
    if dtype == "bfloat16":
        return (numbers.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
    kind = np.dtype(dtype)
    return numbers.astype(kind).view(f"u{kind.itemsize}")


COUNT = len(SPECIAL) ** 2 + 3001


def numbers_of(loop: Loop, trial: int) -> Value:
    """Return the numbers of a trial."""
    found: dict[Operand, Any] = {x: NUMBERS[(trial + i) % len(NUMBERS)] for i, x in enumerate(loop.numbers)}
    for i, (density, key) in enumerate(draw.inputs for draw in loop.draws):
        found |= {density: DENSITIES[(trial + i) % len(DENSITIES)], key: (trial << 40) + 77 * i}
    return lambda operand: found.get(operand, operand)


def _scan(scan: Instruction, given: Tiles, start: int, length: int, trial: int, row: int) -> Any:
    """Return what C keeps of a reduction or scan that is to see two tiles."""
    samples = [given[x] for x in scan.inputs if isinstance(x, Place) and x in given]
    # What a loop has computed itself is not among the tiles: anything like it will do.
    sample = samples[0] if samples else _samples("float32", 0, 1e3, mask=False)[:length]
    scalars, settings = _settings(scan.op, sample, start, length, trial, row)
    found = native(scan, scalars, settings, PARTS[trial % 2], row)
    if scan.op == "magnitude_limit" and trial % 3 == 2:
        # As if a pass had shown that the sample was misleading.
        found.again()
    return found


def _settings(
    op: str, sample: Bits, start: int, length: int, trial: int, row: int
) -> tuple[tuple[Any, ...], dict[str, int]]:
    """Return scalars and settings for a scan that is to see tiles like a sample."""
    most = start + 2 * length
    share = DENSITIES[trial % len(DENSITIES)]
    random = np.random.default_rng(trial)
    if op == "magnitude_limit":
        counts = np.bincount(_magnitudes(sample) >> LOW_BITS, minlength=BUCKETS)
        return (counts, round(share * 2 * length)), {"size": 2 * length}
    if op == "threshold":
        return (_limit(sample, share, trial),), {}
    if op == "packed_mask":
        return (), {"size": most}
    if op == "unpacked_mask":
        return (random.integers(0, 256, -(-most // 8), dtype=np.uint8),), {}
    if op in ("row_dot", "row_divergences"):
        return (), {"rows": most // row}
    if op == "ranked_mask":
        low = 0.5 * share
        return (low, low + (0.3, 0.0, 0.5)[trial % 3], 77 * trial), {}
    if op == "column_dot":
        return (), {"columns": ROW}
    if op == "spread_columns":
        return (array("d", random.standard_normal(ROW)),), {}
    if op == "spread_rows":
        return (array("d", random.standard_normal(-(-most // ROW))),), {"length": ROW}
    return (), {}


def _limit(sample: Bits, share: float, trial: int) -> Limit:
    """Return a magnitude of a sample, of whose equals some, all or none are kept."""
    sizes = np.sort(_magnitudes(sample))
    bits = int(sizes[int(share * (len(sizes) - 1))])
    equal = 2 * int((sizes == bits).sum())
    ties = (equal, 1, equal - 1, 0, equal // 2)[trial % 5]
    return Limit(bits, ties, equal, nonfinite=int(bits >= INFINITY or trial % 2))


def _magnitudes(sample: Bits) -> Bits:
    """Return the bits of float32 magnitudes; those of NaN become those of infinity."""
    found: Bits = np.minimum(sample.astype(np.int64) & MAGNITUDE, INFINITY)
    return found


def _alike(scan: Instruction, found: Any, other: Any) -> bool:
    """Tell whether two reductions have found the same; other scans have left all there is in their tiles."""
    if scan.out.kind != "scalar":
        return True
    if scan.op == "magnitude_limit":
        again, also = found.again(), other.again()
        if again or also:
            return bool(again == also and found.bracket == other.bracket)
        return bool(found.result() == other.result())
    values, others = np.asarray(found.result()), np.asarray(other.result())
    return np.array_equal(values, others, equal_nan=values.dtype.kind == "f")


def _same(found: Bits, other: Bits, dtype: Dtype) -> bool:
    magnitude = found.dtype.type((1 << dtype.bits - 1) - 1)
    both_nan = ((found & magnitude) > dtype.infinity) & ((other & magnitude) > dtype.infinity)
    return bool(((found == other) | both_nan).all())
