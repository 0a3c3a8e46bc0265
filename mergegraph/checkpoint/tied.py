"""Read a missing output head through the input embedding that it is tied to."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

HEADS = (
    "lm_head",
    "embed_out",
    "output",
    "output_layer",
    "lm_head.decoder",
    "cls.predictions.decoder",
    "predictions.decoder",
    "vocab_projector",
    "generator_lm_head",
)
"""What architectures call the module that turns hidden states into vocabulary scores."""

EMBEDDINGS = (
    "shared",
    "embed_tokens",
    "wte",
    "embed_in",
    "tok_embeddings",
    "word_embeddings",
    "embeddings",
    "embedding",
)
"""What architectures call the module that turns tokens into vectors, the more telling names first."""

NOT_TOKENS = re.compile(
    r"(^|[._])(pos\w*|wpe|token_type\w*|segment\w*|norm\w*|ln_\w+|vision\w*|visual\w*|audio\w*)([._]|$)"
)
"""Names of tensors outside all layers that have no row for each token."""

_SIDES = frozenset({"decoder", "language_model", "text_model"})


def tied_partner(name: str, names: Iterable[str], config: Mapping[str, Any]) -> str | None:
    """Return which of `names` holds the weights of the output head `name` that a checkpoint leaves out.

    None when `name` is no head, when `config` says that nothing is tied, or when it is not plain which embedding is
    meant. The partner lies under the head's own prefix (`language_model.lm_head`: in `language_model`). Where an
    encoder and a decoder have one each, it is the decoder's.
    """
    prefix = _head_prefix(name)
    if prefix is None or not says_tied(config, default=True):
        return None
    ranked = [(rank, other) for other in names if other.startswith(prefix) for rank in _ranks(other)]
    best = min((rank for rank, _ in ranked), default=None)
    candidates = [other for rank, other in ranked if rank == best]
    if len(candidates) > 1:
        candidates = [other for other in candidates if not _SIDES.isdisjoint(other.split("."))]
    return candidates[0] if len(candidates) == 1 else None


def is_head(name: str) -> bool:
    """Tell whether a tensor name is that of an output head's weight."""
    return _head_prefix(name) is not None


def is_embedding(name: str) -> bool:
    """Tell whether a tensor name is that of an input embedding's weight, outside all layers."""
    return next(_ranks(name), None) is not None and not NOT_TOKENS.search(name)


def says_tied(config: Mapping[str, Any], *, default: bool) -> bool:
    """Tell whether a configuration ties head and embedding: itself, or one of its parts (`text_config`).

    The default is for configurations that don't say. To transformers, a checkpoint without a head is then tied.
    """
    said = [value for section in _sections(config) if isinstance(value := section.get("tie_word_embeddings"), bool)]
    return any(said) if said else default


def _sections(config: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield config
    yield from (value for key, value in config.items() if key.endswith("_config") and isinstance(value, dict))


def _head_prefix(name: str) -> str | None:
    """Return what comes before the head's own name, with its dot; None when this is no head, or lies in a layer."""
    module = name.removesuffix(".weight")
    if module == name or any(map(str.isdigit, name.split("."))):
        return None
    prefixes = (module.removesuffix(head) for head in sorted(HEADS, key=len, reverse=True) if module.endswith(head))
    return next((prefix for prefix in prefixes if not prefix or prefix.endswith(".")), None)


def _ranks(name: str) -> Iterator[int]:
    """Yield the place of a tensor in `EMBEDDINGS`, when it is the weight of one outside any layer."""
    parts = name.split(".")
    if parts[-1] == "weight" and len(parts) > 1 and parts[-2] in EMBEDDINGS and not any(map(str.isdigit, parts)):
        yield EMBEDDINGS.index(parts[-2])
