"""Model Stock's ratio of a tensor."""

from __future__ import annotations

from mergegraph.ops.component import component
from mergegraph.ops.declaration import Deltas, Locality, Stat, op
from mergegraph.ops.dot import dot
from mergegraph.ops.gram import upper
from mergegraph.ops.stock_ratios import stock_ratios
from mergegraph.ops.typing import at_least_two


@op(locality=Locality.REDUCTION, paper="2403.19522", typing=at_least_two("Stat"))
def tensor_stock_ratio(ds: Deltas) -> Stat:
    """Return how far to go from the base to the average of at least two models, for the flattened tensors.

    With `c`, the mean of the cosines between all pairs of deltas, it is `n c / (1 + (n−1) c)`, or 0 where the
    denominator is below 1e-6. The cosine with a delta of zero is 0.
    """
    return component(stock_ratios(upper(dot, ds), count=len(ds)), index=0)
