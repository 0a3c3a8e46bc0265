"""How much a change matters."""

from __future__ import annotations

from mergegraph.ops.abs import abs_
from mergegraph.ops.declaration import Delta, Locality, Point, op
from mergegraph.ops.multiply import multiply
from mergegraph.ops.row_divergences import row_divergences
from mergegraph.ops.spread_rows import spread_rows
from mergegraph.ops.subtract import subtract
from mergegraph.ops.vectors import row_count


@op(locality=Locality.ROWWISE)
def importance(a: Point, b: Point) -> Delta:
    """Score every element: `|a − b|` times the divergence of its row, `KL(softmax(a) ‖ softmax(b))`.

    Rows are the vectors along the last axis.
    """
    divergences = row_divergences(a, b, rows=row_count(a.tensor))
    return multiply(abs_(subtract(a, b)), spread_rows(divergences, length=a.tensor.shape[-1], shape=a.tensor.shape))
