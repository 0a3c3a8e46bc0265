"""The k-th largest magnitude of a tensor."""

from __future__ import annotations

from mergegraph.dtypes import DTYPES
from mergegraph.ir.types import TensorType
from mergegraph.ops.declaration import Delta, Locality, Scalar, Stat, op, primitive

PATTERNS = 1 << 19
"""How many bit patterns it can tell apart in a pass: those of eight buckets of a histogram."""


@op(
    locality=Locality.REDUCTION,
    primitive=True,
    internal=True,
    shape=lambda types, size: TensorType(DTYPES["int64" if size >> 31 else "int32"], (PATTERNS,)),
)
def magnitude_limit(x: Delta, sample: Stat, k: Scalar, *, size: int) -> Stat:
    """Find the k-th largest magnitude of `size` elements exactly, and how many of its equals are kept.

    It counts the elements above a bracket that the sample says the magnitude is in, and those in it by bit pattern. In
    the rare case that it isn't there, more passes over the tensor find it.
    """
    return primitive()
