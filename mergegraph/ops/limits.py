"""The k largest magnitudes: shared by the operations that keep or drop them."""

from __future__ import annotations

from dataclasses import dataclass

from mergegraph.ir.node import Node
from mergegraph.ops.bucket_histogram import bucket_histogram
from mergegraph.ops.declaration import as_node
from mergegraph.ops.histogram_count import histogram_count
from mergegraph.ops.inclusive_limit import inclusive_limit
from mergegraph.ops.kth_magnitude import kth_magnitude
from mergegraph.ops.magnitude_histogram import magnitude_histogram
from mergegraph.ops.magnitude_limit import magnitude_limit
from mergegraph.ops.magnitude_sample import magnitude_sample
from mergegraph.ops.over_model import over_model


@dataclass(frozen=True, slots=True)
class Magnitudes:
    """The magnitudes of a tensor `x`, or of all tensors of the model that `scope` names.

    `histogram` counts them, those of a large tensor in part.
    """

    x: Node
    histogram: Node
    scope: str

    @property
    def count(self) -> Node:
        """How many there are."""
        return as_node(float(self.x.tensor.count)) if self.scope == "tensor" else histogram_count(self.histogram)

    def limit(self, k: Node | float) -> Node:
        """Return the k-th largest: of a tensor with exactly k elements within, of a model with all that equal it."""
        if self.scope == "tensor":
            return magnitude_limit(self.x, self.histogram, k, size=self.x.tensor.count)
        bucket = bucket_histogram(self.x, self.histogram, k)
        whole = over_model(bucket, group=self.scope, part=_name(as_node(k)))
        return inclusive_limit(kth_magnitude(self.histogram, whole, k))


def magnitudes(x: Node, scope: str = "tensor") -> Magnitudes:
    """Return the magnitudes of a tensor, or of all tensors of a model."""
    if scope == "tensor":
        return Magnitudes(x, magnitude_sample(x), scope)
    return Magnitudes(x, over_model(magnitude_histogram(x), group=scope, part="histogram"), scope)


def _name(node: Node) -> str:
    """Return a text that tells expressions apart that do not depend on which tensor it is."""
    inputs = ", ".join(map(_name, node.inputs)) if node.op != "over_model" else ""
    return f"{node.op}({inputs}){dict(node.attributes) or ''}"
