"""Model Stock's ratio of every row."""

from __future__ import annotations

from mergegraph.ops.add import add
from mergegraph.ops.arcs import each_vector
from mergegraph.ops.component import component
from mergegraph.ops.declaration import Deltas, Locality, Mask, op
from mergegraph.ops.gram import upper
from mergegraph.ops.stock_ratios import stock_ratios
from mergegraph.ops.typing import at_least_two
from mergegraph.ops.zeros import zeros_like


@op(locality=Locality.ROWWISE, paper="2403.19522", typing=at_least_two("Mask"))
def row_stock_ratio(ds: Deltas) -> Mask:
    """Return what `tensor_stock_ratio` does, for each row by itself: the vectors along the last axis."""
    product, spread = each_vector(ds[0], "rows")
    ratios = spread(component(stock_ratios(upper(product, ds), count=len(ds)), index=0))
    return ratios if ratios.tensor.shape else add(zeros_like(ds[0]), ratios)
