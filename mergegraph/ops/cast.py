"""Change of the element type."""

from __future__ import annotations

from collections.abc import Sequence

from mergegraph.dtypes import DTYPES
from mergegraph.ir.node import Attribute
from mergegraph.ir.types import TensorType
from mergegraph.ops.declaration import Locality, Tensor, op, primitive


def _shape(types: Sequence[TensorType], *, dtype: Attribute) -> TensorType:
    return TensorType(DTYPES[str(dtype)], types[0].shape)


@op(locality=Locality.POINTWISE, primitive=True, shape=_shape, internal=True)
def cast(x: Tensor, *, dtype: str) -> Tensor:
    """Round to another float type, to nearest, ties to even; wider types hold every value exactly."""
    return primitive()
