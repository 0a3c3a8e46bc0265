"""Compute tiles with torch."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

from mergegraph.kernels import sums
from mergegraph.kernels.magnitude import BucketHistogram, Limit, MagnitudeHistogram, kth_magnitude
from mergegraph.kernels.pointwise import POINTWISE
from mergegraph.kernels.random import RandomMask
from mergegraph.kernels.sums import count_nonfinite
from mergegraph.kernels.threads import single_threaded
from mergegraph.kernels.threshold import Threshold
from mergegraph.kernels.tile import BLOCK, Tile

REDUCTIONS: Mapping[str, Any] = MappingProxyType(
    {
        "sum": partial(sums.BlockSum, sums.copy),
        "absolute_sum": partial(sums.BlockSum, sums.magnitudes),
        "dot": partial(sums.BlockSum, sums.products),
        "magnitude_histogram": MagnitudeHistogram,
        "bucket_histogram": BucketHistogram,
    }
)
"""Every reduction by its op: made from its scalars, `update(tile, *tensors)` per tile in order, then `result()`."""

SCANS: Mapping[str, Any] = MappingProxyType({"threshold": Threshold, "random_mask": RandomMask})
"""Every scan by its op: made from its scalars, then `update(tile, out, *tensors)` per tile in order."""

__all__ = [
    "BLOCK",
    "POINTWISE",
    "REDUCTIONS",
    "SCANS",
    "Limit",
    "Tile",
    "count_nonfinite",
    "kth_magnitude",
    "single_threaded",
]
