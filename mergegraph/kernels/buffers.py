"""Share memory for a block among the kernels of a thread."""

from __future__ import annotations

import torch

from mergegraph.kernels.loan import idle
from mergegraph.kernels.tile import BLOCK


def shared(dtype: torch.dtype, place: int, device: torch.device) -> torch.Tensor:
    """Return room for a block that every kernel of this thread may write, and none may leave anything in.

    `place` tells apart what one kernel uses at the same time.
    """
    key = dtype, place, device
    if not idle.things[key]:
        idle.things[key].append(torch.empty(BLOCK, dtype=dtype, device=device))
    room = idle.things[key][0]
    assert isinstance(room, torch.Tensor)
    return room
