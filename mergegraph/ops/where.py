"""Choice by a mask."""

from __future__ import annotations

from mergegraph.ops.declaration import Locality, Tensor, op, primitive
from mergegraph.ops.typing import choice_type


@op(locality=Locality.POINTWISE, primitive=True, scalar=lambda mask, x, y: x if mask else y, typing=choice_type)
def where(mask: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Choose `x` where the mask is 1, `y` where it is 0; what is not chosen has no influence, even NaN."""
    return primitive()
