"""Keep each worker on its own core."""

from __future__ import annotations

import torch


def single_threaded() -> None:
    """Make torch compute in the calling thread alone. Every worker must call it: torch keeps the number per thread."""
    torch.set_num_threads(1)
