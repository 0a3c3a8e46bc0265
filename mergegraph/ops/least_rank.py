"""The rank that a share of the squares needs."""

from __future__ import annotations

from mergegraph.ops.declaration import Delta, Locality, Stat, op, primitive
from mergegraph.ops.nearest import eigen_bytes


@op(
    locality=Locality.WHOLE,
    primitive=True,
    internal=True,
    workspace=lambda node: eigen_bytes(node) + 4 * node.inputs[0].tensor.count,
)
def least_rank(d: Delta, *, rows: int, columns: int, energy: float) -> Stat:
    """Find the least rank, at least 1, that keeps a share `energy` of the sum of squares of a matrix."""
    return primitive()
