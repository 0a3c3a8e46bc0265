"""Choice by tensor name."""

from __future__ import annotations

from collections.abc import Sequence

from mergegraph.ir.node import Node
from mergegraph.ir.types import Type
from mergegraph.ops.declaration import Locality, Tensor, Tensors, op, primitive
from mergegraph.ops.typing import NUMERIC, OperandError, same_type


def _typing(inputs: Sequence[Node]) -> Type:
    if all(node.type in NUMERIC for node in inputs):
        return Type.FIELD
    if len({node.type for node in inputs}) > 1:
        kinds = " and ".join(sorted({str(node.type) for node in inputs}))
        raise OperandError(f"the cases of a `select` must be of one type, not {kinds}", "give every case the same type")
    return same_type(inputs)


@op(locality=Locality.LAYOUT, primitive=True, internal=True, typing=_typing)
def select(cases: Tensors, *, patterns: tuple[str, ...]) -> Tensor:
    """Take, for each tensor, the first case whose glob matches its name; the last case is for all others."""
    return primitive()
