"""Look at float32 tensors as bit patterns."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import torch

from mergegraph.kernels.counting import INFINITY, MAGNITUDE


def magnitudes(x: torch.Tensor) -> torch.Tensor:
    """Return the magnitude bits of a tensor. Those of NaN differ between CPUs, and become those of infinity."""
    return (x.view(torch.int32) & MAGNITUDE).clamp_(max=INFINITY)


def library(x: torch.Tensor) -> ModuleType:
    """Return numpy for tensors on a CPU, where its integer loops are faster, torch for others."""
    return np if x.is_cpu else torch


def raw(x: torch.Tensor) -> Any:
    """Return the bit patterns of a tensor of 32-bit elements as int32, in `library(x)`'s kind of array."""
    bits = x.view(torch.int32)
    return bits.numpy() if x.is_cpu else bits


def signed(bits: int) -> int:
    """Return 32 bits as the int32 number of that pattern."""
    return bits - (1 << 32) if bits >> 31 else bits
