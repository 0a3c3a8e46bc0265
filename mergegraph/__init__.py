"""MergeGraph: a compiler for model merges."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mergegraph.own import op as op

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Load what is public when it is first asked for, so that importing the package stays cheap."""
    if name == "op":
        from mergegraph.own import op

        return op
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
