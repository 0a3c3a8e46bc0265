"""Inner products of all pairs: shared by the operations that need no more of their inputs than these."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mergegraph.ir.node import Node


def upper(product: Callable[[Node, Node], Node], xs: Sequence[Node]) -> list[Node]:
    """Return the upper triangle of the Gram matrix, row by row with the diagonal."""
    return [product(x, y) for i, x in enumerate(xs) for y in xs[i:]]
