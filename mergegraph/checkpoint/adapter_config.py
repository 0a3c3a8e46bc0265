"""Read `adapter_config.json`: what it says of ranks and scales, and whether all of it is understood."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mergegraph.checkpoint.faults import fault, quoted
from mergegraph.checkpoint.patterns import Unsupported, compiled
from mergegraph.diagnostics import MergeGraphError

CONFIG = "adapter_config.json"

MAX_PATTERN = 500
"""The longest regular expression in a pattern of ranks."""

_REPEATING = re.compile(r"[*+?{(|]")
"""What makes an expression take long if it is matched by trying one way after the other; names have none of it."""

REFUSED = {
    "use_qalora": "QA-LoRA",
    "use_bdlora": "block-diagonal LoRA",
    "kasa_config": "KaSA",
    "monteclora_config": "MonteCLoRA",
    "arrow_config": "Arrow",
    "alora_invocation_tokens": "activated LoRA, which is off until a token turns it on,",
    "layer_replication": "an adapter of replicated layers",
    "megatron_config": "an adapter for Megatron",
}
"""Settings that change what an adapter does in ways that no sum of weights shows, and what they make of it."""

CHANGED_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")
"""How initial weights are called that are subtracted from the base when training starts."""


@dataclass(frozen=True, slots=True)
class AdapterConfig:
    """What `adapter_config.json` says.

    `base` names the model it was trained on; `tokens` are the rows that are trained of each embedding, those of the
    input embedding under the name ''. `parameters` are adapted without being the weight of a module; `saved` are
    modules that are saved whole.
    """

    base: str | None
    rank: int
    alpha: float
    rslora: bool
    dora: bool
    fan_in_fan_out: bool
    rank_pattern: Mapping[str, Any]
    alpha_pattern: Mapping[str, Any]
    tokens: Mapping[str, tuple[int, ...]]
    parameters: tuple[str, ...]
    saved: tuple[str, ...]

    def scaling(self, module: str, place: Path) -> tuple[int, float]:
        """Return the rank of a module's adapter, and the factor of its product. Raises MG553 and MG557."""
        rank = _rank(_of_pattern(self.rank_pattern, module, self.rank, place), place)
        alpha = _alpha(_of_pattern(self.alpha_pattern, module, self.alpha, place), place)
        return rank, alpha / (math.sqrt(rank) if self.rslora else rank)


def read_config(fields: Mapping[str, Any], path: Path) -> AdapterConfig:
    """Return what the fields of an `adapter_config.json` say.

    Raises MG551 for other kinds of adapters, MG552 for variants of LoRA that are not merged by adding to weights, MG553
    for values that can't be.
    """
    kind = fields.get("peft_type")
    if kind != "LORA":
        help = "only LoRA adapters, rsLoRA and DoRA among them, can be merged"
        raise fault("MG551", f"this is no LoRA adapter: its `peft_type` is {_quoted(kind)}", path, help)
    for name, meaning in REFUSED.items():
        if fields.get(name):
            raise fault("MG552", f"`{name}` makes this {meaning} and that can't be merged", path)
    _check_start(fields.get("init_lora_weights"), path)
    return AdapterConfig(
        base=_of_type(fields, "base_model_name_or_path", (str, type(None)), path),
        rank=_rank(fields.get("r", 8), path),
        alpha=_alpha(fields.get("lora_alpha", 8), path),
        rslora=bool(_of_type(fields, "use_rslora", (bool, type(None)), path)),
        dora=bool(_of_type(fields, "use_dora", (bool, type(None)), path)),
        fan_in_fan_out=bool(_of_type(fields, "fan_in_fan_out", (bool, type(None)), path)),
        rank_pattern=_of_type(fields, "rank_pattern", (dict, type(None)), path) or {},
        alpha_pattern=_of_type(fields, "alpha_pattern", (dict, type(None)), path) or {},
        tokens=_tokens(fields.get("trainable_token_indices"), path),
        parameters=_names(fields, "target_parameters", path),
        saved=_names(fields, "modules_to_save", path),
    )


def _check_start(start: object, path: Path) -> None:
    if isinstance(start, str) and start.lower().startswith(CHANGED_BASE):
        help = "save it with `save_pretrained(…, path_initial_model_for_weight_conversion=…)` of peft"
        message = f"this adapter belongs to a base that `init_lora_weights` {quoted(start)} has changed"
        raise fault("MG552", message, path, help)


def _of_pattern(pattern: Mapping[str, Any], module: str, default: Any, path: Path) -> Any:
    """Return the value of the first expression that matches the end of a module's name, as PEFT does."""
    for key, value in pattern.items():
        if _matches(key, module, path):
            return value
    return default


def _matches(key: str, module: str, path: Path) -> bool:
    try:
        if len(key) > MAX_PATTERN:
            raise Unsupported("it is too long")
        whole = rf"(.*\.)?({key})$"
        if _REPEATING.search(key):
            return compiled(whole)(module)
        return re.match(whole, module) is not None
    except Unsupported as error:
        message = f"the pattern {_quoted(key)} can't be matched in bounded time: {error}"
        raise fault("MG557", message, path, "write it with names, `.`, `*`, `|` and groups only") from None
    except (re.error, RecursionError):
        raise _bad("a pattern is no regular expression", key, path) from None


def _rank(value: object, path: Path) -> int:
    if type(value) is not int or not 0 < value < 1 << 31:
        raise _bad("the rank `r` must be a whole number above 0", value, path)
    return value


def _alpha(value: object, path: Path) -> float:
    if type(value) not in (int, float) or not math.isfinite(value) or abs(value) > 1e30:  # type: ignore[arg-type]
        raise _bad("`lora_alpha` must be a finite number", value, path)
    return float(value)  # type: ignore[arg-type]


def _of_type(fields: Mapping[str, Any], name: str, types: tuple[type, ...], path: Path) -> Any:
    value = fields.get(name)
    if type(value) not in types:
        words = {str: "a text", bool: "true or false", dict: "an object"}
        raise _bad(f"`{name}` must be {words[types[0]]}", value, path)
    return value


def _tokens(value: object, path: Path) -> Mapping[str, tuple[int, ...]]:
    found = {"": value} if isinstance(value, list) else {} if value is None else value
    if not isinstance(found, dict) or not all(map(_are_indices, found.values())):
        raise _bad("`trainable_token_indices` must be lists of different rows", value, path)
    return {name: tuple(rows) for name, rows in found.items()}


def _are_indices(rows: object) -> bool:
    good = isinstance(rows, list) and all(type(row) is int and row >= 0 for row in rows)
    return good and len(set(rows)) == len(rows)  # type: ignore[arg-type, call-overload]


def _names(fields: Mapping[str, Any], name: str, path: Path) -> tuple[str, ...]:
    value = fields.get(name) or []
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise _bad(f"`{name}` must be a list of names", value, path)
    return tuple(value)


def _bad(message: str, value: object, path: Path) -> MergeGraphError:
    return fault("MG553", f"{message}, this is {_quoted(value)}", path)


def _quoted(value: object) -> str:
    return quoted(value if isinstance(value, str) else repr(value)[:1_000])
