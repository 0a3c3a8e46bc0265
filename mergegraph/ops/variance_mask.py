"""Where models differ most from each other."""

from __future__ import annotations

from functools import reduce

from mergegraph.ir.graph import const_value
from mergegraph.ops.add import add
from mergegraph.ops.count import count
from mergegraph.ops.declaration import Deltas, Fraction, Locality, Mask, as_node, op
from mergegraph.ops.equal import equal
from mergegraph.ops.floor import floor
from mergegraph.ops.greater import greater
from mergegraph.ops.limits import magnitudes
from mergegraph.ops.multiply import multiply
from mergegraph.ops.subtract import subtract
from mergegraph.ops.threshold import threshold
from mergegraph.ops.zeros import zeros_like


@op(locality=Locality.REDUCTION, paper="2408.07990")
def variance_mask(ds: Deltas, topk: Fraction = 1) -> Mask:
    """Mark the elements whose variance over the models is largest.

    Of those whose population variance is above 0 it marks the share `topk`, rounded down; ties by lowest index. A share
    of 1 marks all elements, also where the models agree.
    """
    nothing = zeros_like(ds[0])
    if (const_value(as_node(topk)) or 0.0) >= 1.0:
        return equal(nothing, 0.0)
    if len(ds) == 1:
        return nothing
    # The variance times n², by the differences of all pairs: equal values cancel exactly, so that ties stay ties.
    apart = [subtract(x, y) for i, x in enumerate(ds) for y in ds[:i]]
    variance = reduce(add, [multiply(x, x) for x in apart])
    differing = count(greater(variance, 0.0))
    limit = magnitudes(variance).limit(floor(multiply(topk, differing)))
    return greater(threshold(variance, limit), 0.0)
