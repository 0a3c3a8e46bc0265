"""Sign election."""

from __future__ import annotations

from functools import reduce
from typing import Literal

from mergegraph.ops.add import add
from mergegraph.ops.declaration import Delta, Deltas, Locality, Scalars, op
from mergegraph.ops.divide import divide
from mergegraph.ops.equal import equal
from mergegraph.ops.greater import greater
from mergegraph.ops.majority import majority
from mergegraph.ops.max import max_
from mergegraph.ops.multiply import multiply
from mergegraph.ops.sign import sign


@op(locality=Locality.POINTWISE, paper="2306.01708")
def elect(
    ds: Deltas, weight: Scalars = (1.0,), *, normalize: bool = True, by: Literal["sum", "count"] = "sum"
) -> Delta:
    """Elect a sign per element and add up what agrees with it.

    `eᵢ = wᵢdᵢ`; the sign is +1 where `Σ eᵢ ≥ 0` (`by="count"`: of their signs), −1 elsewhere; the `eᵢ` of that
    sign are added, and divided by the sum of their weights if `normalize`. Zeros never agree.
    """
    votes = [multiply(d, w) for d, w in zip(ds, weight, strict=True)]
    elected = majority(reduce(add, votes if by == "sum" else [sign(v) for v in votes]))
    # Turned by the elected sign, what agrees is what is positive; both turns are exact.
    turned = [multiply(vote, elected) for vote in votes]
    total = multiply(reduce(add, [max_(t, 0.0) for t in turned]), elected)
    if not normalize:
        return total
    shares = reduce(add, [multiply(greater(t, 0.0), w) for t, w in zip(turned, weight, strict=True)])
    return divide(total, add(shares, equal(shares, 0.0)))
