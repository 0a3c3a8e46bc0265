"""Weighted average."""

from __future__ import annotations

from functools import reduce

from mergegraph.ir.graph import const_value
from mergegraph.ir.node import Node
from mergegraph.ops.add import add
from mergegraph.ops.declaration import Locality, Scalars, Tensor, Tensors, op
from mergegraph.ops.divide import divide
from mergegraph.ops.multiply import multiply
from mergegraph.ops.typing import same_type

SMALLEST_SUM = 1e-8


def weights_problem(weight: list[Node], option: str) -> str | None:
    """Return what is wrong with weights that `option` divides by their sum, None if nothing is."""
    values = [const_value(w) for w in weight]
    if None in values or abs(sum(v for v in values if v is not None)) >= SMALLEST_SUM:
        return None
    return f"the weights sum to 0, which no average can be divided by; `{option}=false` does not divide"


def _check(xs: list[Node], weight: list[Node], normalize: bool) -> str | None:
    return weights_problem(weight, "normalize") if normalize else None


@op(locality=Locality.POINTWISE, paper="2203.05482", check=_check, typing=same_type)
def mean(xs: Tensors, weight: Scalars = (1.0,), *, normalize: bool = True) -> Tensor:
    """Average: `Σ wᵢxᵢ`, divided by `Σ wᵢ` if `normalize`. A tensor of weight 0 is not read.

    It is an error if the weights are to be normalized and sum to less than 1e-8.
    """
    total = reduce(add, weight)
    if all(w is weight[0] for w in weight):
        plain = reduce(add, xs)
        return divide(plain, float(len(xs))) if normalize else multiply(plain, weight[0])
    scales = [divide(w, total) for w in weight] if normalize else weight
    return reduce(add, [multiply(x, w) for x, w in zip(xs, scales, strict=True)])
