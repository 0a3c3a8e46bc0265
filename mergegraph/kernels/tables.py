"""Every kernel that computes tiles with torch, by its op."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from math import inf
from types import MappingProxyType
from typing import Any

import torch

from mergegraph.kernels import sums
from mergegraph.kernels.adapter import LowRank, ReplaceRows, dora_factors, expert_product, picked, token_product
from mergegraph.kernels.factors import Factors, Held, LeastRank, Nearest, factor
from mergegraph.kernels.gather import ColumnMean, GatherRows, PadRows
from mergegraph.kernels.limit import MagnitudeLimit
from mergegraph.kernels.magnitude import BucketHistogram, MagnitudeHistogram
from mergegraph.kernels.matrix import ColumnDot, SpreadColumns, SpreadRows
from mergegraph.kernels.packing import PackedMask, UnpackedMask
from mergegraph.kernels.pointwise import POINTWISE
from mergegraph.kernels.random import RandomMask
from mergegraph.kernels.ranked import RankedMask
from mergegraph.kernels.rows import RowDivergences, RowDot, RowRanks
from mergegraph.kernels.sums import Count, Extreme
from mergegraph.kernels.threshold import Threshold

REDUCTIONS: Mapping[str, Any] = MappingProxyType(
    {
        "sum": partial(sums.BlockSum, sums.copy, sums.narrow),
        "dot": partial(sums.BlockSum, sums.products, sums.wide),
        "magnitude_histogram": MagnitudeHistogram,
        "magnitude_sample": MagnitudeHistogram,
        "magnitude_limit": MagnitudeLimit,
        "bucket_histogram": BucketHistogram,
        "count": Count,
        "smallest": partial(Extreme, torch.amin, inf),
        "largest": partial(Extreme, torch.amax, -inf),
        "row_dot": RowDot,
        "row_divergences": RowDivergences,
        "column_dot": ColumnDot,
        "column_mean": ColumnMean,
        "packed_mask": PackedMask,
        "nearest": Nearest,
        "factors": Factors,
        "least_rank": LeastRank,
        "differing": sums.Differing,
    }
)
"""Every reduction by its op: made from its scalars, `update(tile, *tensors)` per tile in order, then `result()`."""

SCANS: Mapping[str, Any] = MappingProxyType(
    {
        "threshold": Threshold,
        "random_mask": RandomMask,
        "ranked_mask": RankedMask,
        "unpacked_mask": UnpackedMask,
        "held": Held,
        "row_ranks": RowRanks,
        "gather_rows": GatherRows,
        "pad_rows": PadRows,
        "adapter_product": LowRank,
        "expert_product": expert_product,
        "token_product": token_product,
        "replace_rows": ReplaceRows,
        "spread_rows": SpreadRows,
        "spread_columns": SpreadColumns,
    }
)
"""Every scan by its op: made from its scalars, then `update(tile, out, *tensors)` per tile in order.

Those of `kernels.rows`, and the reductions there, get tiles of whole rows, as matrices.
"""

MATRICES: Mapping[str, Any] = MappingProxyType(
    {
        "dora_factors": dora_factors,
        "picked": picked,
        "factor": factor,
    }
)
"""Every function of matrices that are held."""

__all__ = ["MATRICES", "POINTWISE", "REDUCTIONS", "SCANS"]
