"""Make the donor's `config.json` true to the merged tensors, and leave the rest as it is.

No table of architectures: a number of layers is an integer that equals the donor's and has the name of a number of
layers; a list per layer is a list of that length.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from mergegraph.diagnostics import Diagnostic, escape

Config = Mapping[str, Any]

_DROPPED = ("auto_map", "quantization_config")
_COUNT = re.compile(r"((n|num|max|window|hidden|encoder|decoder|transformer|text|vision)_)*(layers?|blocks?)|depth")
_LAYER_NAMED = re.compile(r"layer|block|types|pattern")
_LAYER_INDICES = re.compile(r"(att|mlp|moe|rope|dense|sparse|window).*(layers|blocks|idxs|indexes|indices)")
_NOT_PER_LAYER = re.compile(r"architectures|.*token.*")
_FEW = 8
"""Up to so many layers, a list of that length is a list per layer only if its name says so."""

_SYNONYMS = {"language": "text", "visual": "vision"}
_NOT_TEXT = {"vision", "audio"}


@dataclass(frozen=True, slots=True)
class Stack:
    """A stack of layers in the output: `before` layers in the donor, now one for each of `layers`.

    `layers` gives the configuration of the model that each new layer comes from, and its number there.
    """

    prefix: str
    before: int
    layers: tuple[tuple[Config, int], ...]


@dataclass(frozen=True, slots=True)
class MergedConfig:
    """The bytes of `config.json`, and what could not be made true."""

    data: bytes
    warnings: tuple[Diagnostic, ...]


def merged_config(
    donor: Config,
    *,
    dtype: str,
    stacks: Sequence[Stack] = (),
    tied: bool | None = None,
    vocab_size: int | None = None,
) -> MergedConfig:
    """Return the donor's configuration with the layers, dtype, tying and vocabulary size of the output.

    `tied` and `vocab_size` of None leave those as they are. Remote code and quantization are dropped, all else is kept
    in its order. MG630 warns of a number of layers that was not found, MG631 of a list per layer that was left out.
    """
    config = _clean(donor)
    warnings = [warning for stack in stacks for warning in _restack(config, donor, stack)]
    for _, section in _sections(config):
        section.update({key: dtype for key in ("torch_dtype", "dtype") if key in section})
    if "torch_dtype" not in config and "dtype" not in config:
        config["dtype"] = dtype
    if tied is not None and not _set(config, "tie_word_embeddings", tied):
        config["tie_word_embeddings"] = tied
    if vocab_size is not None:
        _set(config, "vocab_size", vocab_size)
    return MergedConfig((json.dumps(config, indent=2) + "\n").encode(), tuple(warnings))


def _clean(config: Config) -> dict[str, Any]:
    return {
        key: _clean(value) if isinstance(value, dict) else copy.deepcopy(value)
        for key, value in config.items()
        if key not in _DROPPED
    }


def _sections(config: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """Yield the configuration and those nested in it, each with the keys that lead there."""
    yield path, config
    for key, value in config.items():
        if (key.endswith("_config") or key in ("encoder", "decoder")) and isinstance(value, dict):
            yield from _sections(value, (*path, key))


def _set(config: Config, key: str, value: object) -> bool:
    """Set a key of the text model wherever it is present, and tell whether it is."""
    found = [section for path, section in _sections(config) if key in section and not _words(*path) & _NOT_TEXT]
    for section in found:
        section[key] = value
    return bool(found)


def _words(*names: str) -> set[str]:
    words = {word for name in names for word in re.split(r"[._]", name)}
    return words | {_SYNONYMS[word] for word in words & _SYNONYMS.keys()}


def _restack(config: dict[str, Any], donor: Config, stack: Stack) -> Iterator[Diagnostic]:
    if stack.layers == tuple((donor, layer) for layer in range(stack.before)):
        return
    path = _home(donor, stack)
    if path is None:
        yield from (_no_count(stack),) if len(stack.layers) != stack.before else ()
        return
    section, original = _at(config, path), _at(donor, path)
    for key in _counts(original, stack):
        section[key] = len(stack.layers)
    for key, value in original.items():
        if not _applies(key, stack, original) or key not in section:
            continue
        if _is_indices(key, value, stack.before):
            section[key] = [new for new, (_, old) in enumerate(stack.layers) if old in value]
        elif _is_per_layer(key, value, stack.before):
            yield from _reindex(section, key, path, stack)


def _home(donor: Config, stack: Stack) -> tuple[str, ...] | None:
    """Return where the donor gives the number of layers of a stack: in a section that its name mentions, or else in
    the first one, other than for images and sound, that has it."""
    sections = [path for path, _ in _sections(donor)]
    named = [path for path in sections if path and _words(path[-1].removesuffix("_config")) & _words(stack.prefix)]
    others = [path for path in sections if not _words(*path) & _NOT_TEXT]
    return next((path for path in named or others if _counts(_at(donor, path), stack)), None)


def _at(config: Any, path: Sequence[str]) -> Any:
    for key in path:
        config = config.get(key) if isinstance(config, Mapping) else None
    return config if isinstance(config, Mapping) else {}


def _counts(section: Config, stack: Stack) -> list[str]:
    return [
        key
        for key, value in section.items()
        if type(value) is int and value == stack.before and _COUNT.fullmatch(key) and _applies(key, stack, section)
    ]


def _applies(key: str, stack: Stack, section: Config) -> bool:
    """Tell whether a key can speak of this stack where encoder and decoder have keys of their own."""
    words, mine = _words(key), _words(stack.prefix)
    if "decoder" not in mine:
        return "encoder" not in mine or "decoder" not in words
    special = any("decoder" in _words(other) and _COUNT.fullmatch(other) for other in section)
    return "decoder" in words if special else "encoder" not in words


def _is_indices(key: str, value: object, count: int) -> bool:
    return (
        bool(_LAYER_INDICES.search(key))
        and isinstance(value, list)
        and all(type(item) is int and 0 <= item < count for item in value)
        and all(a < b for a, b in pairwise(value))
    )


def _is_per_layer(key: str, value: object, count: int) -> bool:
    named = _LAYER_NAMED.search(key) if count <= _FEW or isinstance(value, str) else not _NOT_PER_LAYER.fullmatch(key)
    return isinstance(value, list | str) and len(value) == count and bool(named)


def _reindex(section: dict[str, Any], key: str, path: Sequence[str], stack: Stack) -> Iterator[Diagnostic]:
    kind = type(section[key])
    sources = [_at(config, path).get(key) for config, _ in stack.layers]
    numbers = [layer for _, layer in stack.layers]
    if not all(
        isinstance(source, kind) and layer < len(source) for source, layer in zip(sources, numbers, strict=True)
    ):
        del section[key]
        yield _left_out(key, stack)
        return
    values = [source[layer] for source, layer in zip(sources, numbers, strict=True)]
    section[key] = "".join(values) if kind is str else values


def _no_count(stack: Stack) -> Diagnostic:
    return Diagnostic(
        "MG630",
        f"the donor's `config.json` gives no number of layers for `{escape(stack.prefix)}`: it was {stack.before}, "
        f"the output has {len(stack.layers)}",
        help=("set it in the output's `config.json` before loading the model",),
        severity="warning",
    )


def _left_out(key: str, stack: Stack) -> Diagnostic:
    return Diagnostic(
        "MG631",
        f"`{escape(key)}` of `config.json` was left out: not every model gives it for the layers of "
        f"`{escape(stack.prefix)}` that it contributes",
        help=("set it in the output's `config.json` if the model needs it",),
        severity="warning",
    )
