"""Change of sign."""

from __future__ import annotations

import operator

from mergegraph.ops.declaration import Locality, Tensor, op, primitive
from mergegraph.ops.typing import same_type


@op(locality=Locality.POINTWISE, primitive=True, scalar=operator.neg, typing=same_type)
def negate(x: Tensor) -> Tensor:
    """Change the sign: `−x`."""
    return primitive()
