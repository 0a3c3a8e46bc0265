"""Make up for what sparsifying took away: shared by the operations that take `rescale=`."""

from __future__ import annotations

from collections.abc import Callable

from mergegraph.ir.node import Node
from mergegraph.ops.abs import abs_
from mergegraph.ops.divide import divide
from mergegraph.ops.less import less
from mergegraph.ops.min import min_
from mergegraph.ops.multiply import multiply
from mergegraph.ops.sum import sum_
from mergegraph.ops.where import where

SMALLEST_SUM = 1e-7


def rescaled(
    d: Node,
    keep: Callable[[Node], Node],
    probability: Node | float,
    rescale: str | bool,
    again: Callable[[Node], Node] | None = None,
) -> Node:
    """Return `keep(d)`, a sparsified `d`, rescaled as asked: `"none"` or False, `"l1"` or True, or `"inverse"`.

    `"l1"` needs it in two passes; `again` does the same in the second, where that is cheaper. `keep` must keep the same
    elements of the magnitudes of `d`.
    """
    if rescale in ("none", False):
        return keep(d)
    if rescale == "inverse":
        return divide(keep(d), probability)
    magnitudes = abs_(d)
    before, after = sum_(magnitudes), sum_(keep(magnitudes))
    ratio = where(less(min_(before, after), SMALLEST_SUM), 1.0, divide(before, after))
    return multiply((again or keep)(d), ratio)
