"""Compute scalars from what reductions leave behind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from mergegraph.kernels.counting import kth_magnitude


def gathered(*statistics: float) -> npt.NDArray[np.float64]:
    """Return numbers side by side."""
    return np.array(statistics)


SCALARS: Mapping[str, Callable[..., Any]] = MappingProxyType({"kth_magnitude": kth_magnitude, "gathered": gathered})
"""Every function of scalars that needs what a reduction leaves behind."""
