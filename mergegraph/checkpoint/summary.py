"""Sum up a checkpoint for people."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from mergegraph.checkpoint.checkpoint import Checkpoint
from mergegraph.checkpoint.layers import Stack
from mergegraph.checkpoint.tied import is_head, says_tied


@dataclass(frozen=True, slots=True)
class Summary:
    """Facts of a checkpoint: numbers (`parameters`, in all and by dtype), `nbytes` of data, tensors, shards, stacks.

    `tied` tells that the output head is the input embedding: the configuration says so and no head is stored.
    """

    parameters: int
    nbytes: int
    tensors: int
    dtypes: Mapping[str, int]
    stacks: tuple[Stack, ...]
    tied: bool
    shards: int


def describe(checkpoint: Checkpoint) -> Summary:
    """Return the facts of a checkpoint."""
    counts: Counter[str] = Counter()
    for tensor in checkpoint.tensors.values():
        counts[tensor.dtype.name] += math.prod(tensor.shape)
    return Summary(
        parameters=counts.total(),
        nbytes=sum(tensor.nbytes for tensor in checkpoint.tensors.values()),
        tensors=len(checkpoint.tensors),
        dtypes=MappingProxyType(dict(counts.most_common())),
        stacks=checkpoint.stacks,
        tied=says_tied(checkpoint.config, default=False) and not any(map(is_head, checkpoint.tensors)),
        shards=len(checkpoint.files),
    )
