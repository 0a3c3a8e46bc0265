"""Count the elements that are NaN or infinite, by their bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mergegraph.dtypes import Dtype

_PART = 1 << 16


def count_nonfinite(data: memoryview, dtype: Dtype) -> int:
    """Count the NaN and infinite elements in bytes of a float type.

    Their patterns are the largest of those without a sign, and of those with one. Two maxima, which show that there are
    none, take a tenth of the time of a sum.
    """
    infinite = dtype.infinity
    bits: npt.NDArray[Any] = np.frombuffer(data, dtype=f"u{dtype.nbytes(1)}")
    if not bits.size or not _reach(bits, infinite):
        return 0
    parts = (bits[start : start + _PART] for start in range(0, bits.size, _PART))
    return sum(int(np.count_nonzero((part & infinite) == infinite)) for part in parts)


def _reach(bits: npt.NDArray[Any], infinite: int) -> bool:
    """Tell whether patterns reach that of infinity, with the sign or without."""
    sign = 1 << 8 * bits.itemsize - 1
    return bool(bits.view(f"i{bits.itemsize}").max() >= infinite or bits.max() >= infinite | sign)
