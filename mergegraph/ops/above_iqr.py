"""Outliers by the interquartile range."""

from __future__ import annotations

import math

from mergegraph.ops.abs import abs_
from mergegraph.ops.add import add
from mergegraph.ops.declaration import Delta, Locality, Mask, op
from mergegraph.ops.greater_equal import greater_equal
from mergegraph.ops.limit_value import limit_value
from mergegraph.ops.limits import magnitudes
from mergegraph.ops.multiply import multiply
from mergegraph.ops.subtract import subtract


@op(locality=Locality.REDUCTION)
def above_iqr(s: Delta) -> Mask:
    """Mark where the magnitude of a score is at least `median + 1.5 (Q3 − Q1)`.

    The quantiles are exact, over all elements of the tensor: q is the value at the sorted position `⌊q(N−1)⌋`.
    """
    size = s.tensor.count
    positions = [math.floor(q * (size - 1)) for q in (0.25, 0.5, 0.75)]
    scores = magnitudes(s)
    low, middle, high = (limit_value(scores.limit(float(size - position))) for position in positions)
    return greater_equal(abs_(s), add(middle, multiply(1.5, subtract(high, low))))
