"""Products of two small matrices for one of several experts."""

from __future__ import annotations

from mergegraph.dtypes import FLOAT32
from mergegraph.ir.node import Node
from mergegraph.ir.types import TensorType
from mergegraph.ops.adapter_product import PER_ELEMENT
from mergegraph.ops.declaration import Delta, Locality, Scalar, Stat, op, primitive


def _workspace(node: Node) -> int:
    """Return what the factors of the expert take: its columns of B are copied, and A is cut into parts."""
    (rows, columns), experts = node.tensor.shape, node.attribute("experts")
    assert isinstance(experts, int)
    return PER_ELEMENT * (rows + columns) * (node.inputs[1].tensor.shape[0] // experts)


@op(
    locality=Locality.SCAN,
    primitive=True,
    internal=True,
    shape=lambda types, experts, first, shape, rows: TensorType(FLOAT32, shape),
    workspace=_workspace,
)
def expert_product(
    b: Stat, a: Stat, expert: Scalar, *, experts: int, first: int, shape: tuple[int, int], rows: int
) -> Delta:
    """Multiply the part of two matrices that is for one of several experts, tile by tile, as `adapter_product` does.

    The result has the `rows` of B from `first` on. The rows of A belong to the experts in turn, the columns of B
    interleaved.
    """
    return primitive()
