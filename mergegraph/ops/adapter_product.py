"""Products of two small matrices: what a LoRA adapter adds."""

from __future__ import annotations

from mergegraph.dtypes import FLOAT32
from mergegraph.ir.node import Node
from mergegraph.ir.types import TensorType
from mergegraph.ops.declaration import Delta, Locality, Stat, op, primitive

PER_ELEMENT = 48
"""Bytes that the kernel takes for an element of the right factor: two parts in float64, and twice that to make them."""


def _workspace(node: Node) -> int:
    a = node.inputs[1].tensor
    blocks, length = node.attribute("blocks"), node.attribute("length")
    assert isinstance(blocks, int)
    assert isinstance(length, int)
    return PER_ELEMENT * length * (a.shape[0] // blocks)


@op(
    locality=Locality.SCAN,
    primitive=True,
    internal=True,
    shape=lambda types, length, transposed, blocks, shape: TensorType(FLOAT32, shape),
    workspace=_workspace,
)
def adapter_product(b: Stat, a: Stat, *, length: int, transposed: bool, blocks: int, shape: tuple[int, ...]) -> Delta:
    """Multiply two matrices that are held in memory, tile by tile: `B A`, or `(B A)ᵀ` if `transposed`.

    The result is a matrix with rows of `length` elements, in the shape of the tensor. Several experts in one tensor are
    `blocks` that lie below each other: the rows of A belong to them in turn, the columns of B interleaved.
    arXiv:2106.09685.
    """
    return primitive()
