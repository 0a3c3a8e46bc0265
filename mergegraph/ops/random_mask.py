"""Random masks."""

from __future__ import annotations

from mergegraph.dtypes import FLOAT32
from mergegraph.ir.types import TensorType
from mergegraph.ops.declaration import Key, Locality, Mask, Scalar, op, primitive


@op(
    locality=Locality.SCAN,
    primitive=True,
    internal=True,
    shape=lambda types, shape: TensorType(FLOAT32, shape),
)
def random_mask(density: Scalar, key: Key, *, shape: tuple[int, ...]) -> Mask:
    """Mark each element with 1 with probability `density`, by a hash of the key and the element's index."""
    return primitive()
