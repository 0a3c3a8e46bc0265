"""What a folder has beside the tensors of an adapter, and how they are called, so that peft loads it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

from mergegraph.checkpoint.weights import ADAPTER
from mergegraph.write.layout import Layout


@dataclass(frozen=True, slots=True)
class Adapted:
    """The ranks of adapted modules by name, modules that are `saved` whole, and where the base is, if it is known.

    `transposed` tells that matrices of some modules have a row for each input.
    """

    ranks: Mapping[str, int]
    saved: tuple[str, ...]
    transposed: bool
    base: str | None


def adapter_layout(layout: Layout) -> Layout:
    """Return a layout of one shard under the name that peft looks for."""
    (shard,) = layout.shards
    return replace(layout, shards=(replace(shard, file=ADAPTER),))


def adapter_config(adapted: Adapted) -> bytes:
    """Return `adapter_config.json`: alpha is the rank everywhere, so that the product is not scaled."""
    rank = max(adapted.ranks.values())
    others = {module.replace(".", r"\."): found for module, found in adapted.ranks.items() if found != rank}
    fields = {
        "peft_type": "LORA",
        "task_type": None,
        "base_model_name_or_path": adapted.base,
        "inference_mode": True,
        "r": rank,
        "lora_alpha": rank,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": adapted.transposed,
        "use_rslora": False,
        "use_dora": False,
        "target_modules": sorted(adapted.ranks),
        "modules_to_save": list(adapted.saved) or None,
        "rank_pattern": others,
        "alpha_pattern": others,
    }
    return (json.dumps(fields, indent=2) + "\n").encode()
