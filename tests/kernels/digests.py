"""Print a digest of what every kernel computes, with the NaN of intermediate results made alike."""

import hashlib
import sys

import numpy as np
import torch
from cutting import Cut

from mergegraph.kernels.counting import kth_magnitude
from mergegraph.kernels.tables import POINTWISE, REDUCTIONS, SCANS
from mergegraph.kernels.tile import Tile

SPECIAL = [
    0x00000000,
    0x80000000,
    1,
    0x80000003,
    0x007FFFFF,
    0x00800000,
    0x7F7FFFFF,
    0x7F800000,
    0xFF800000,
    0x7FC00001,
]
SIZE = 70_003
UNARY = ("negate", "abs", "sign", "sqrt", "majority")
NARROW = (torch.bfloat16, torch.float16, torch.float64, torch.float32)


def main() -> None:
    """Print one line per kernel."""
    patterns = np.random.default_rng(1).integers(0, 1 << 32, (3, SIZE), dtype=np.uint32)
    patterns[:, ::7] = np.resize(SPECIAL, (3, len(patterns[0, ::7])))
    patterns[1] = np.roll(patterns[1], 7)
    x, y, z = patterns.view(np.float32)
    tensors = torch.from_numpy(x), torch.from_numpy(y)
    for name, kernel in POINTWISE.items():
        if name not in ("zeros", "cast", "where", "clamp"):
            out = torch.empty(SIZE)
            kernel(out, *tensors[: 1 if name in UNARY else 2])
            show(name, _alike(out.numpy()))
    for dtype in NARROW:
        out = torch.empty(SIZE, dtype=dtype)
        POINTWISE["cast"](out, tensors[0])
        show(f"cast {dtype}", out.view(torch.uint8).numpy())
    out = torch.empty(SIZE)
    POINTWISE["where"](out, torch.from_numpy((z > 0).astype(np.float32)), *tensors)
    show("where", out.numpy())
    POINTWISE["clamp"](out, tensors[0], -1.0, 2.0)
    show("clamp", _alike(out.numpy()))
    stateful(np.random.default_rng(2).standard_normal((2, SIZE)).astype(np.float32))


def stateful(arrays: np.ndarray) -> None:
    """Show what the reductions and scans compute."""
    x, y = arrays
    cut = Cut(SIZE, [65_536])
    for name, operands in (("sum", (x,)), ("dot", (x, y))):
        show(name, np.array([cut.reduce(name, (), *operands)]))
    coarse = cut.reduce("magnitude_histogram", (), x)
    fine = cut.reduce("bucket_histogram", (coarse, 1000), x)
    show("magnitude_histogram", coarse)
    show("bucket_histogram", fine)
    show("threshold", cut.scan("threshold", (kth_magnitude(coarse, fine, 1000),), x))
    limit = cut.reduce("magnitude_limit", (cut.reduce("magnitude_sample", (), x), 1000), x, size=SIZE)
    show("magnitude_limit", np.array([limit.bits, limit.ties, limit.equal]))
    show("random_mask", cut.scan("random_mask", (0.4, 12345)))
    rows(x[:70_000].reshape(70, 1000) / 50, y[:70_000].reshape(70, 1000) / 50)


def rows(x: np.ndarray, y: np.ndarray) -> None:
    """Show what the kernels on tiles of whole rows compute."""
    tile, tensors = Tile(0, x.size), (torch.from_numpy(x), torch.from_numpy(x + y / 10))
    for name in ("row_dot", "row_divergences"):
        kernel = REDUCTIONS[name]((), rows=len(x))
        kernel.update(tile, *tensors)
        show(name, np.array(kernel.result()))
    for name, scalars in (("row_ranks", ()), ("ranked_mask", (0.2, 0.7, 12345))):
        out = torch.empty(x.shape)
        SCANS[name](scalars).update(tile, out, tensors[0].abs())
        show(name, out.numpy())
    columns = REDUCTIONS["column_dot"]((), columns=x.shape[1])
    columns.update(tile, *tensors)
    show("column_dot", np.array(columns.result()))


def show(name: str, array: np.ndarray) -> None:
    """Print the digest of an array."""
    sys.stdout.write(f"{name} {hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:16]}\n")


def _alike(array: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(array), np.float32(np.nan), array)


if __name__ == "__main__":
    main()
