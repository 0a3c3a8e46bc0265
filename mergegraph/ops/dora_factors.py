"""What DoRA multiplies rows by."""

from __future__ import annotations

from mergegraph.dtypes import FLOAT64
from mergegraph.ir.types import TensorType
from mergegraph.ops.declaration import Locality, Stat, op, primitive


@op(
    locality=Locality.REDUCTION,
    primitive=True,
    internal=True,
    shape=lambda types: TensorType(FLOAT64, (types[0].count,)),
)
def dora_factors(magnitudes: Stat, squares: Stat) -> Stat:
    """Divide the norms that vectors are to have by those they have; 0 for a vector of zeros. arXiv:2402.09353.

    `squares` are the squared norms, of the vectors or of pieces that they are cut into, one vector after the other.
    """
    return primitive()
