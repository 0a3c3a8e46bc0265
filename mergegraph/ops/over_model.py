"""A statistic of a whole model."""

from __future__ import annotations

from mergegraph.ops.declaration import Locality, Stat, op, primitive


@op(locality=Locality.MODEL, primitive=True, internal=True, shape=lambda types, group, part: types[0])
def over_model(x: Stat, *, group: str, part: str) -> Stat:
    """Add a statistic up over all tensors of a model: a pass over the inputs before any that needs it.

    `group` says which value of the recipe is meant, `part` which of its statistics. What is added are counts, so
    that the order does not matter.
    """
    return primitive()
