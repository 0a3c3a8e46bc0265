"""Model Stock's ratio of every row."""

from __future__ import annotations

from mergegraph.ops.component import component
from mergegraph.ops.declaration import Deltas, Locality, Mask, op
from mergegraph.ops.gram import upper
from mergegraph.ops.row_dot import row_dot
from mergegraph.ops.spread_rows import spread_rows
from mergegraph.ops.stock_ratios import stock_ratios
from mergegraph.ops.typing import at_least_two


@op(locality=Locality.ROWWISE, paper="2403.19522", typing=at_least_two("Mask"))
def row_stock_ratio(ds: Deltas) -> Mask:
    """Return what `tensor_stock_ratio` does, for each row by itself: the vectors along the last axis."""
    ratios = component(stock_ratios(upper(row_dot, ds), count=len(ds)), index=0)
    return spread_rows(ratios, length=ds[0].tensor.shape[-1], shape=ds[0].tensor.shape)
