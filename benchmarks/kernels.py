"""Measure the kernels on one core, and TIES of three as they chain: nanoseconds per element.

    python benchmarks/kernels.py [--tile ELEMENTS]

Processor time, the best of many rounds. Reductions, scans and TIES run over tensors that no cache near the core holds.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence

import torch

from mergegraph.dtypes import DTYPES, Dtype
from mergegraph.kernels.counting import kth_magnitude
from mergegraph.kernels.finite import count_nonfinite
from mergegraph.kernels.tables import POINTWISE, REDUCTIONS, SCANS
from mergegraph.kernels.threads import single_threaded
from mergegraph.kernels.tile import Tile

ELEMENTS = 1 << 22
ROUNDS = 12
DENSITY = 0.5
WEIGHTS = (0.5, 0.3, 0.2)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tile", type=int, default=65_536, help="elements per tile (default: 65536)")
    tile = parser.parse_args().tile
    single_threaded()
    torch.manual_seed(0)
    for name, nanoseconds in (*pointwise(tile), *passes(tile), *ties(tile)):
        print(f"{name:<44}{nanoseconds:8.3f}")


def measure(run: Callable[[], object]) -> float:
    """Return the nanoseconds per element of the best round."""
    run()
    best = float("inf")
    for _ in range(ROUNDS):
        begin = time.thread_time()
        run()
        best = min(best, time.thread_time() - begin)
    return best / ELEMENTS * 1e9


def pointwise(tile: int) -> Iterator[tuple[str, float]]:
    """Measure each pointwise kernel on one tile in registers, as often as makes the elements."""
    x, y, out = torch.randn(3, tile).unbind()
    mask = (torch.randn(tile) > 0).float()
    magnitudes = x.abs()
    narrow = {dtype: x.to(dtype) for dtype in (torch.bfloat16, torch.float16, torch.float64)}
    cases: list[tuple[str, str, Sequence[object]]] = [
        *((f"{name} tensor tensor", name, (out, x, y)) for name in ("add", "subtract", "multiply", "divide", "min")),
        *((f"{name} tensor number", name, (out, x, 0.3)) for name in ("add", "multiply", "divide", "max", "greater")),
        ("subtract number tensor", "subtract", (out, 1.0, x)),
        ("greater tensor tensor", "greater", (out, x, y)),
        *((name, name, (out, x)) for name in ("negate", "abs", "sign", "majority")),
        ("sqrt", "sqrt", (out, magnitudes)),
        ("clamp", "clamp", (out, x, -0.5, 0.5)),
        ("where", "where", (out, mask, x, y)),
        *((f"cast {_short(d)} to float32", "cast", (out, t)) for d, t in narrow.items()),
        *((f"cast float32 to {_short(d)}", "cast", (t, x)) for d, t in narrow.items()),
    ]
    for title, name, operands in cases:
        yield title, measure(_repeated(POINTWISE[name], operands, ELEMENTS // tile))
    for dtype, tensor in (*narrow.items(), (torch.float32, x)):
        yield f"count_nonfinite {_short(dtype)}", measure(_repeated(count_nonfinite, _raw(tensor), ELEMENTS // tile))


def _raw(x: torch.Tensor) -> tuple[memoryview, Dtype]:
    return memoryview(x.view(torch.uint8).numpy()), DTYPES[str(x.dtype).removeprefix("torch.")]


def passes(tile: int) -> Iterator[tuple[str, float]]:
    """Measure the reductions and scans over a tensor."""
    x, y = torch.randn(2, ELEMENTS).unbind()
    coarse, fine, k = _search(x, tile)
    for name, tensors in (("sum", (x,)), ("dot", (x, y)), ("dot", (x, x))):
        yield f"{name} of {len({id(t) for t in tensors})}", measure(lambda n=name, t=tensors: reduce(n, (), tile, *t))
    yield "magnitude_histogram", measure(lambda: reduce("magnitude_histogram", (), tile, x))
    yield "bucket_histogram", measure(lambda: reduce("bucket_histogram", (coarse, k), tile, x))
    yield "magnitude_limit", measure(lambda: reduce("magnitude_limit", (coarse, k), tile, x, size=ELEMENTS))
    yield "threshold", measure(lambda: scan("threshold", (kth_magnitude(coarse, fine, k),), tile, x))
    tied = (x * 64).round()
    limit = kth_magnitude(*_search(tied, tile))
    yield "threshold, tied", measure(lambda: scan("threshold", (limit,), tile, tied))
    yield "random_mask", measure(lambda: scan("random_mask", (DENSITY, 42), tile))


def ties(tile: int) -> Iterator[tuple[str, float]]:
    """Measure the three passes of TIES of three, from bfloat16 to bfloat16."""
    base = torch.randn(ELEMENTS) * 0.02
    models = [(base + torch.randn(ELEMENTS) * 0.001).bfloat16() for _ in WEIGHTS]
    merge = Ties(base.bfloat16(), models, tile)
    parts = [measure(part) for part in (merge.first, merge.second, merge.third)]
    yield from zip(("TIES of 3: first pass", "TIES of 3: second pass", "TIES of 3: third pass"), parts, strict=True)
    yield "TIES of 3, bfloat16 in and out", sum(parts)


class Ties:
    """TIES of three over registers, as a unit runs it when it streams."""

    def __init__(self, base: torch.Tensor, models: Sequence[torch.Tensor], tile: int) -> None:
        self.base = base
        self.models = models
        self.tiles = list(_tiles(tile))
        self.registers = torch.empty(6, tile).unbind()
        self.out = torch.empty_like(base)

    def first(self) -> None:
        """Count the magnitudes of a sixteenth."""
        kernels = [REDUCTIONS["magnitude_sample"](()) for _ in self.models]
        for tile, deltas in self._deltas(every=16):
            for kernel, delta in zip(kernels, deltas, strict=True):
                kernel.update(tile, delta)
        self.samples = [kernel.result() for kernel in kernels]

    def second(self) -> None:
        """Find the limits."""
        k = float(int(DENSITY * ELEMENTS))
        kernels = [REDUCTIONS["magnitude_limit"]((sample, k), size=ELEMENTS) for sample in self.samples]
        for tile, deltas in self._deltas():
            for kernel, delta in zip(kernels, deltas, strict=True):
                kernel.update(tile, delta)
        if any(kernel.again() for kernel in kernels):
            raise RuntimeError("the sample was misleading")
        self.limits = [kernel.result() for kernel in kernels]

    def third(self) -> None:
        """Trim, elect, average what agrees, add the base."""
        kernels = [SCANS["threshold"]((limit,)) for limit in self.limits]
        add, multiply, cast = POINTWISE["add"], POINTWISE["multiply"], POINTWISE["cast"]
        for tile, votes in self._deltas():
            base, elected, shares = self.registers[0], self.registers[4], self.registers[5]
            for kernel, vote, weight in zip(kernels, votes, WEIGHTS, strict=True):
                kernel.update(tile, vote, vote)
                multiply(vote, vote, weight)
            add(elected, votes[0], votes[1])
            add(elected, elected, votes[2])
            POINTWISE["majority"](elected, elected)
            for vote in votes:
                multiply(vote, vote, elected)
            self._shares(shares, votes)
            for vote in votes:
                POINTWISE["max"](vote, vote, 0.0)
            add(votes[0], votes[0], votes[1])
            add(votes[0], votes[0], votes[2])
            multiply(votes[0], votes[0], elected)
            POINTWISE["equal"](elected, shares, 0.0)
            add(shares, shares, elected)
            POINTWISE["divide"](votes[0], votes[0], shares)
            add(base, base, votes[0])
            cast(self.out[tile.start : tile.start + tile.count], base)

    def _shares(self, shares: torch.Tensor, votes: Sequence[torch.Tensor]) -> None:
        POINTWISE["greater"](shares, votes[0], 0.0)
        POINTWISE["multiply"](shares, shares, WEIGHTS[0])
        # With few registers one more is needed here; its cost is that of the others.
        agrees = self.registers[0].new_empty(shares.shape)
        for vote, weight in zip(votes[1:], WEIGHTS[1:], strict=True):
            POINTWISE["greater"](agrees, vote, 0.0)
            POINTWISE["multiply"](agrees, agrees, weight)
            POINTWISE["add"](shares, shares, agrees)

    def _deltas(self, every: int = 1) -> Iterator[tuple[Tile, Sequence[torch.Tensor]]]:
        base, *deltas = self.registers[:4]
        for tile in self.tiles[::every]:
            part = slice(tile.start, tile.start + tile.count)
            POINTWISE["cast"](base, self.base[part])
            for delta, model in zip(deltas, self.models, strict=True):
                POINTWISE["cast"](delta, model[part])
                POINTWISE["subtract"](delta, delta, base)
            yield tile, deltas


def reduce(name: str, scalars: tuple[object, ...], tile: int, *tensors: torch.Tensor, **settings: int) -> object:
    """Run a reduction over tensors."""
    kernel = REDUCTIONS[name](scalars, **settings)
    for part in _tiles(tile):
        kernel.update(part, *(tensor[part.start : part.start + part.count] for tensor in tensors))
    return kernel.result()


def scan(name: str, scalars: tuple[object, ...], tile: int, *tensors: torch.Tensor) -> None:
    """Run a scan over tensors, into one register."""
    kernel = SCANS[name](scalars)
    out = torch.empty(tile)
    for part in _tiles(tile):
        kernel.update(part, out, *(tensor[part.start : part.start + part.count] for tensor in tensors))


def _search(x: torch.Tensor, tile: int) -> tuple[object, object, float]:
    k = float(int(DENSITY * ELEMENTS))
    coarse = reduce("magnitude_histogram", (), tile, x)
    return coarse, reduce("bucket_histogram", (coarse, k), tile, x), k


def _tiles(tile: int) -> Iterator[Tile]:
    return (Tile(start, tile) for start in range(0, ELEMENTS, tile))


def _repeated(kernel: Callable[..., object], operands: Sequence[object], times: int) -> Callable[[], object]:
    def run() -> None:
        for _ in range(times):
            kernel(*operands)

    return run


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


if __name__ == "__main__":
    main()
