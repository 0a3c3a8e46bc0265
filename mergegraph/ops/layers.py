"""Ranges of layers."""

from __future__ import annotations

from collections.abc import Sequence

from mergegraph.ir.node import Node
from mergegraph.ir.types import Type
from mergegraph.ops.declaration import Locality, Model, op, primitive


def _typing(inputs: Sequence[Node]) -> Type:
    return Type.LAYERS


@op(locality=Locality.LAYOUT, primitive=True, internal=True, typing=_typing)
def layers(m: Model, *, start: int, stop: int, stack: str | None = None) -> Model:
    """Take the layers `start` to `stop − 1` of a model; written `m.layers[start..stop]`."""
    return primitive()
