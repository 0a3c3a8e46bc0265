"""Describe many small tensors at once, as the rows of one array.

In a graph each operation on each tensor is a call: milliseconds for every tensor, however few its numbers.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from mergegraph.checkpoint.checkpoint import Checkpoint, Tensor
from mergegraph.checkpoint.reader import FileSet
from mergegraph.survey.results import BINS

Floats = npt.NDArray[np.float32]

SMALL = 1 << 14
"""Elements of the largest tensor that is described here."""
ROOM = 1 << 18
"""Elements of the rows that are described at a time: some ten megabytes with what is computed of them."""
WIDE, NARROW = 1024, 16
"""How many elements are added up side by side."""


def _widened(bits: npt.NDArray[np.uint16]) -> Floats:
    """Return bfloat16 values as float32: the upper half of its bits."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


_READ: Mapping[str, tuple[str, Callable[[npt.NDArray[Any]], Floats]]] = MappingProxyType(
    {
        "float64": ("<f8", lambda x: x.astype(np.float32)),
        "float32": ("<f4", lambda x: x),
        "float16": ("<f2", lambda x: x.astype(np.float32)),
        "bfloat16": ("<u2", _widened),
    }
)
"""How numpy reads the types that arithmetic is defined on, and what makes float32 of them."""


def is_small(tensor: Tensor) -> bool:
    """Tell whether a tensor is described at once with others."""
    return math.prod(tensor.shape) <= SMALL


def describe_rows(checkpoint: Checkpoint, tensors: Sequence[Tensor]) -> Mapping[str, tuple[float, ...]]:
    """Return the statistics of tensors that have elements and arithmetic, by name, as `tensors.statistics` has them.

    MergeGraphError if a file can't be read or has changed.
    """
    files = checkpoint.files
    found: dict[str, tuple[float, ...]] = {}
    with FileSet([file.path for file in files], [file.identity for file in files]) as opened:
        for alike in _batches(tensors):
            with np.errstate(all="ignore"):
                rows = _statistics(_rows(opened, alike))
            found |= {tensor.name: tuple(row) for tensor, row in zip(alike, rows.tolist(), strict=True)}
        opened.check_unchanged()
    return found


def _batches(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Yield tensors of one type and size, as many as there is room for."""
    kinds: dict[tuple[str, int], list[Tensor]] = defaultdict(list)
    for tensor in tensors:
        kinds[tensor.dtype.name, math.prod(tensor.shape)].append(tensor)
    for (_, size), alike in kinds.items():
        count = ROOM // max(size, NARROW)
        yield from (alike[start : start + count] for start in range(0, len(alike), count))


def _rows(files: FileSet, alike: Sequence[Tensor]) -> Floats:
    code, read = _READ[alike[0].dtype.name]
    rows = np.empty((len(alike), math.prod(alike[0].shape)), code)
    for row, tensor in zip(rows, alike, strict=True):
        files.read_into(tensor.file, tensor.begin, row.data)
    return read(rows)


def _statistics(x: Floats) -> npt.NDArray[np.float64]:
    finite = np.isfinite(x)
    known = np.where(finite, x, 0).astype(np.float64)
    high = np.where(finite, x, np.float32(np.inf))
    low, top = (end.astype(np.float64) for end in (high.min(1), np.where(finite, x, np.float32(-np.inf)).max(1)))
    edges = [(low + (top - low) * (i / BINS)).astype(np.float32)[:, None] for i in range(1, BINS)]
    below = [(high < edge).sum(1) for edge in edges]
    sums = [finite.sum(1), _sum(known), _sum(known * known)]
    return np.stack([*sums, low, top, (x == 0).sum(1), *below], axis=1, dtype=np.float64)


def _sum(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the sum of each row, added up in the order of `kernels.sums.BlockSum`."""
    for width in (WIDE, NARROW) if x.shape[1] > WIDE else (NARROW,):
        x = np.pad(x, ((0, 0), (0, -x.shape[1] % width))).reshape(len(x), -1, width).sum(1)
    return np.asarray(np.add.accumulate(x, axis=1)[:, -1])
