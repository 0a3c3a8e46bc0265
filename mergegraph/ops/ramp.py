"""Parameters that change with depth."""

from __future__ import annotations

from collections.abc import Sequence

from mergegraph.ir.node import Node
from mergegraph.ir.types import Type
from mergegraph.ops.declaration import Field, Locality, op, primitive


def _typing(inputs: Sequence[Node]) -> Type:
    return Type.FIELD


@op(locality=Locality.LAYOUT, primitive=True, typing=_typing)
def ramp(*, values: tuple[float, ...], outside: float | None = None) -> Field:
    """Interpolate linearly over the layers of a model, first to last; `outside` is for other tensors."""
    return primitive()
