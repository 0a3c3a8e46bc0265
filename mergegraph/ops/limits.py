"""The k largest magnitudes: shared by the operations that keep or drop them."""

from __future__ import annotations

from collections.abc import Sequence

from mergegraph.ir.node import Node
from mergegraph.ops.bucket_histogram import bucket_histogram
from mergegraph.ops.kth_magnitude import kth_magnitude
from mergegraph.ops.magnitude_histogram import magnitude_histogram


def limits(x: Node, counts: Sequence[Node | float]) -> list[Node]:
    """Return the k-th largest magnitude of a tensor for several k, from one histogram and one more for each."""
    histogram = magnitude_histogram(x)
    return [kth_magnitude(histogram, bucket_histogram(x, histogram, k), k) for k in counts]
