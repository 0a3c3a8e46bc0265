"""Random masks that depend on ranks in rows."""

from __future__ import annotations

from mergegraph.dtypes import FLOAT32
from mergegraph.ir.types import TensorType
from mergegraph.ops.declaration import Delta, Key, Locality, Mask, Scalar, op, primitive


@op(
    locality=Locality.ROWWISE,
    primitive=True,
    internal=True,
    shape=lambda types: TensorType(FLOAT32, types[0].shape),
)
def ranked_mask(x: Delta, low: Scalar, high: Scalar, key: Key) -> Mask:
    """Mark each magnitude with 1 with a probability from `low` to `high`, by a hash of the key and its index.

    The probability grows evenly with its rank in its row, a vector of two elements or more along the last axis. Of
    equal magnitudes the one of lower index has the lower rank; NaN has the highest.
    """
    return primitive()
