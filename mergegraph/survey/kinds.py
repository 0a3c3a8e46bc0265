"""Tell which tensors of different layers are of one kind."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from mergegraph.checkpoint.layers import split_layer


@dataclass(frozen=True, slots=True)
class Place:
    """Where a tensor is: in layer number `layer` of the stack `stack`, or in none. `kind` says what it is there.

    Numbers in a kind (experts, sublayers) are written as `*`.
    """

    stack: str | None
    layer: int | None
    kind: str

    @property
    def everywhere(self) -> str:
        """The name with `*` for the layer: that of its kind in all layers."""
        return self.kind if self.stack is None else ".".join([*([self.stack] if self.stack else []), "*", self.kind])


def place(name: str, prefixes: Collection[str]) -> Place:
    """Return where a tensor is, given the prefixes of the stacks."""
    layer = split_layer(name, prefixes)
    if layer is None:
        return Place(None, None, name)
    return Place(layer.prefix, layer.index, ".".join("*" if p.isdigit() else p for p in layer.suffix.split(".")))
