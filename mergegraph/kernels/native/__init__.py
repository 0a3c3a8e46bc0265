"""Compute tiles in C: sources, and for each reduction and scan what it keeps from tile to tile.

Each is made from its scalars and settings as the kernel of its op; C works on its `state`, and it has the `result` of a
reduction. Those in `PARTIAL` are also given `parts`, of which they see one of each tile, those in `WHOLE` the elements
of a `row`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from mergegraph.kernels.native.rows import RankedMask, RowDivergences, RowDot
from mergegraph.kernels.native.scans import (
    ColumnDot,
    Count,
    MagnitudeHistogram,
    MagnitudeLimit,
    PackedMask,
    SpreadColumns,
    SpreadRows,
    Sum,
    Threshold,
    UnpackedMask,
)

SOURCES = ("pointwise.c", "scans.c", "rows.c")
"""In the order that they build on each other."""

SCANNED: Mapping[str, Any] = MappingProxyType(
    {
        "sum": Sum,
        "dot": Sum,
        "count": Count,
        "magnitude_histogram": MagnitudeHistogram,
        "magnitude_sample": MagnitudeHistogram,
        "magnitude_limit": MagnitudeLimit,
        "threshold": Threshold,
        "packed_mask": PackedMask,
        "unpacked_mask": UnpackedMask,
        "spread_rows": SpreadRows,
        "column_dot": ColumnDot,
        "spread_columns": SpreadColumns,
    }
)
"""The reductions and scans that C has for strips of a tile."""

WHOLE: Mapping[str, Any] = MappingProxyType(
    {
        "row_dot": RowDot,
        "row_divergences": RowDivergences,
        "ranked_mask": RankedMask,
    }
)
"""Those that it has for tiles of whole rows."""

PARTIAL = frozenset({"magnitude_histogram", "magnitude_sample"})
"""Those that can be content with a part of each tile."""

COUNTED = PARTIAL | {"magnitude_limit"}
"""Those that count in 32 bits."""
