"""The magnitude at a rank."""

from __future__ import annotations

from typing import Any

from mergegraph.diagnostics import Diagnostic, MergeGraphError
from mergegraph.ops.declaration import Locality, Stat, op, primitive


def _value(limit: Any) -> float:
    if limit.nonfinite:
        raise MergeGraphError(
            Diagnostic(
                "MG454",
                f"{limit.nonfinite} of the scores are NaN or infinite, so that they have no quantiles",
                help=("an input has such elements, or its values overflow",),
                status=1,
            )
        )
    return float(limit.value)


@op(locality=Locality.REDUCTION, primitive=True, internal=True, scalar=_value)
def limit_value(limit: Stat) -> Stat:
    """Return the magnitude itself. An error if any element of the tensor is NaN or infinite."""
    return primitive()
