"""Adapters made of models."""

from __future__ import annotations

from mergegraph.ir.node import Node
from mergegraph.ops.declaration import Adapter, Locality, Model, op, primitive
from mergegraph.ops.low_rank import rank_problem


def _check(m: Node, base: Node, rank: int | None, energy: float | None) -> str | None:
    return rank_problem("extract_lora", rank, energy)


@op(locality=Locality.WHOLE, primitive=True, check=_check)
def extract_lora(m: Model, base: Model, *, rank: int | None = None, energy: float | None = None) -> Adapter:
    """Make what a model changed of its base a LoRA adapter, which `save` writes as peft does.

    Each matrix that differs becomes two factors: their product is the nearest of that `rank` to the change (Eckart and
    Young, 1936). With `energy` the rank is the least that keeps such a share of the sum of squares, at most `rank`.
    Norms and biases that differ are kept whole. What does not differ is not in the adapter, so that a `select` with
    the case `_: base` says which tensors it may have.
    """
    return primitive()
