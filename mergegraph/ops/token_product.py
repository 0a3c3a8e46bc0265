"""Products of two small matrices, with a row for each token of another vocabulary."""

from __future__ import annotations

from mergegraph.dtypes import FLOAT32
from mergegraph.ir.node import Node
from mergegraph.ir.types import TensorType
from mergegraph.ops.adapter_product import PER_ELEMENT
from mergegraph.ops.declaration import Delta, Locality, Stat, Table, op, primitive


def _workspace(node: Node) -> int:
    length = node.attribute("length")
    assert isinstance(length, int)
    return PER_ELEMENT * length * node.inputs[1].tensor.shape[0]


@op(
    locality=Locality.SCAN,
    primitive=True,
    internal=True,
    shape=lambda types, length, transposed, shape: TensorType(FLOAT32, shape),
    workspace=_workspace,
)
def token_product(b: Stat, a: Stat, table: Table, *, length: int, transposed: bool, shape: tuple[int, ...]) -> Delta:
    """Multiply two matrices as `adapter_product` does, for the rows that part 0 of a table names; zeros for -1."""
    return primitive()
