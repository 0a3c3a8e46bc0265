"""Matrices of low rank, held whole."""

from __future__ import annotations

from mergegraph.dtypes import FLOAT32
from mergegraph.ir.node import Node
from mergegraph.ir.types import TensorType
from mergegraph.ops.declaration import Delta, Locality, Stat, op, primitive

_STRIP = 1_024
"""Vectors of the longer side that the kernel works on at a time."""

_LIBRARY_BYTES = 24_000_000
"""What a library of linear algebra keeps in a thread, and memory that was freed and not given back: measured."""


def eigen_bytes(node: Node) -> int:
    """Return what finding eigenvectors takes, three strips of a matrix in float64, and the library.

    The Gram matrix, its eigenvectors and, in LAPACK's `dsyevd`, two more of their size.
    """
    rows, columns = node.attribute("rows"), node.attribute("columns")
    assert isinstance(rows, int)
    assert isinstance(columns, int)
    short, long = sorted((rows, columns))
    return _LIBRARY_BYTES + 8 * (4 * short * short + 3 * short * min(long, _STRIP))


@op(
    locality=Locality.WHOLE,
    primitive=True,
    internal=True,
    shape=lambda types, matrices, rows, columns, rank, energy: TensorType(FLOAT32, (matrices * rows * columns,)),
    workspace=eigen_bytes,
)
def nearest(d: Delta, *, matrices: int, rows: int, columns: int, rank: int | None, energy: float | None) -> Stat:
    """Find the nearest matrices of a rank to those that lie below each other in a tensor; see `low_rank`."""
    return primitive()
