"""Models built from ranges of layers."""

from __future__ import annotations

from mergegraph.ops.declaration import Layers, Locality, Model, op, primitive


@op(locality=Locality.LAYOUT, primitive=True)
def stack(parts: Layers, rest: Model) -> Model:
    """Put ranges of layers on top of each other, numbered from 0; `rest` gives all tensors outside layers."""
    return primitive()
