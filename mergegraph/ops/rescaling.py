"""Make up for what sparsifying took away: shared by the operations that take `rescale=`."""

from __future__ import annotations

from mergegraph.ir.node import Node
from mergegraph.ops.absolute_sum import absolute_sum
from mergegraph.ops.divide import divide
from mergegraph.ops.less import less
from mergegraph.ops.min import min_
from mergegraph.ops.multiply import multiply
from mergegraph.ops.where import where

SMALLEST_SUM = 1e-7


def rescaled(d: Node, kept: Node, probability: Node | float, rescale: str | bool, again: Node | None = None) -> Node:
    """Return `kept`, a sparsified `d`, rescaled as asked: `"none"` or False, `"l1"` or True, or `"inverse"`.

    `"l1"` needs it in two passes; `again` is the same for the second, where that is cheaper.
    """
    if rescale in ("none", False):
        return kept
    if rescale == "inverse":
        return divide(kept, probability)
    before, after = absolute_sum(d), absolute_sum(kept)
    return multiply(again or kept, where(less(min_(before, after), SMALLEST_SUM), 1.0, divide(before, after)))
