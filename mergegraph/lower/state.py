"""Keep what is known of a tensor while it is lowered."""

from __future__ import annotations

from dataclasses import dataclass, field

from mergegraph.ir.graph import Binding
from mergegraph.ir.node import Node


class Unlowerable(Exception):
    """Leave a tensor whose fault has been recorded."""


class Missing(Exception):
    """Say that a model lacks a tensor."""

    def __init__(self, model: Node, name: str) -> None:
        super().__init__(name)
        self.model = model
        self.name = name


@dataclass(slots=True)
class TensorState:
    """What is known of the tensor that is being lowered: for which save, its bindings, and values already lowered."""

    save: int
    bindings: dict[Binding, int] = field(default_factory=dict)
    done: dict[tuple[Node, str], Node] = field(default_factory=dict)

    def bind(self, binding: Binding) -> int:
        return self.bindings.setdefault(binding, len(self.bindings))
