"""The k-th largest magnitude."""

from __future__ import annotations

from mergegraph.ops.declaration import Locality, Scalar, Stat, op, primitive


@op(locality=Locality.REDUCTION, primitive=True, internal=True)
def kth_magnitude(histogram: Stat, bucket: Stat, k: Scalar) -> Stat:
    """Read the k-th largest magnitude off its two histograms, and how many of its equals are kept."""
    return primitive()
