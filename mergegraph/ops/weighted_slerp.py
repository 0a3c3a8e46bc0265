"""Spherical interpolation by weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from mergegraph.ir.node import Node
from mergegraph.ir.types import Type
from mergegraph.ops.abs import abs_
from mergegraph.ops.add import add
from mergegraph.ops.arcs import on_arc
from mergegraph.ops.declaration import Locality, Point, Points, Scalars, op
from mergegraph.ops.divide import divide
from mergegraph.ops.less import less
from mergegraph.ops.typing import OperandError, points_type
from mergegraph.ops.where import where

SMALLEST_SUM = 1e-8
LARGEST_COSINE = 1.0 - 1e-12
"""Nearer to 1 the angle is lost in rounding, and the arc is a straight line to twelve digits."""


def _typing(inputs: Sequence[Node]) -> Type:
    found, count = points_type(inputs)
    if count != 2:
        raise OperandError(
            f"a weighted slerp goes between two models, not {count}", "for more of them write `multislerp(…)`"
        )
    return found


@op(locality=Locality.REDUCTION, typing=_typing)
def weighted_slerp(
    xs: Points,
    weight: Scalars = (1.0,),
    *,
    flatten: bool = True,
    row_wise: bool = False,
    axis: Literal["rows", "columns"] | None = None,
) -> Point:
    """Interpolate two models on their great circle, `t = w₂ / (w₁ + w₂)` of the way.

    Where the sum is below 1e-8, t is 0.5. It is `lerp` where a norm is at most 1e-8, where the vectors are parallel to
    twelve digits, and where their cosine is below −0.9995. `axis="rows"` takes every vector along the last axis by
    itself, `"columns"` every one along the first; `flatten=false` is the former, with `row_wise=true` the latter, as
    in mergekit. A model of weight 0 is not read.
    """
    if len(xs) == 1:
        return xs[0]
    first, second = weight
    total = add(first, second)
    t = where(less(abs_(total), SMALLEST_SUM), 0.5, divide(second, total))
    along = axis or (None if flatten else "columns" if row_wise else "rows")
    return on_arc(xs[0], xs[1], t, along, LARGEST_COSINE)
