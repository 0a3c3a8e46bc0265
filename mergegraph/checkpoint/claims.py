"""Compare what a model's configuration says of its tensors with them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from mergegraph.checkpoint.faults import warning
from mergegraph.checkpoint.layers import Stack
from mergegraph.checkpoint.tied import is_embedding, is_head, says_tied, tied_partner
from mergegraph.diagnostics import Diagnostic, escape

Config = Mapping[str, Any]

_NOT_TEXT = {"vision_config", "audio_config", "visual_config"}
_NUMBERED = re.compile(r"(?<![^.])\d+\.")
_WRITES = re.compile(r"\w+(ForCausalLM|LMHeadModel)")
"""The architectures that can't be without an output head."""


class Shaped(Protocol):
    """What has the shape of a tensor."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of elements along each axis."""


def misstatements(
    config: Config, tensors: Mapping[str, Shaped], stacks: Iterable[Stack], folder: Path
) -> tuple[Diagnostic, ...]:
    """Return warnings where a configuration says what the tensors can't be: MG534 to MG536."""
    place, tensors = folder / "config.json", _outside(tensors)
    return (*_layers(config, stacks, place), *_tokens(config, tensors, place), *_tying(config, tensors, place))


def configured_tokens(config: Config) -> Iterator[int]:
    """Yield the numbers of tokens that a configuration gives for text."""
    for key, value in config.items():
        if key == "vocab_size" and type(value) is int:
            yield value
        elif isinstance(value, Mapping) and key.endswith("_config") and key not in _NOT_TEXT:
            yield from configured_tokens(value)


def rows_instead(config: Config, tensors: Mapping[str, Shaped]) -> int | None:
    """Return how many rows embeddings and heads have, all the same number, where the configuration gives another."""
    outside = _outside(tensors)
    rows = {*_rows(outside, embeddings=True).values(), *_rows(outside, embeddings=False).values()}
    said = set(configured_tokens(config))
    return next(iter(rows)) if said and len(rows) == 1 and not rows & said else None


def _layers(config: Config, stacks: Iterable[Stack], place: Path) -> Iterator[Diagnostic]:
    """Yield a warning (MG534) where more layers are promised than the longest stack has.

    Fewer are usual: layers that predict further tokens aren't counted. A single one may stand for all that are alike.
    """
    said, found = config.get("num_hidden_layers"), max((stack.count for stack in stacks), default=0)
    if type(said) is int and found >= 2 and said > found:
        message = f"`config.json` promises {said:,} layers; the tensors are those of {found:,}"
        help = (
            "copy the rest of the model, or correct `num_hidden_layers`: what loads it would make up the missing layers"
        )
        yield warning("MG534", message, place, help)


def _tokens(config: Config, tensors: Mapping[str, Shaped], place: Path) -> Iterator[Diagnostic]:
    """Yield a warning (MG535) where no embedding, or no head, has as many rows as tokens are promised."""
    said = list(configured_tokens(config))
    for rows in (_rows(tensors, embeddings=True), _rows(tensors, embeddings=False)):
        if said and rows and not set(said) & set(rows.values()):
            name, count = next(iter(rows.items()))
            message = f"`config.json` promises {said[0]:,} tokens; `{escape(name)}` has {count:,} rows"
            help = "correct `vocab_size`: what loads the model would refuse these weights"
            yield warning("MG535", message, place, help)
            return


def _outside(tensors: Mapping[str, Shaped]) -> dict[str, Shaped]:
    """Return the tensors that lie in no list of modules, and so in no layer: few of very many."""
    return {name: found for name, found in tensors.items() if not _NUMBERED.search(name)}


def _rows(tensors: Mapping[str, Shaped], *, embeddings: bool) -> dict[str, int]:
    """Return the rows of the matrices that are input embeddings, or heads beside one, by their names."""
    matrices = {name: found.shape[0] for name, found in tensors.items() if len(found.shape) == 2}
    if embeddings:
        return {name: rows for name, rows in matrices.items() if is_embedding(name)}
    return {name: rows for name, rows in matrices.items() if is_head(name) and tied_partner(name, tensors, {})}


def _tying(config: Config, tensors: Mapping[str, Shaped], place: Path) -> Iterator[Diagnostic]:
    """Yield a warning (MG536) where head and embedding can't be one, or where there is no head that isn't tied."""
    heads = [name for name in tensors if is_head(name)]
    if says_tied(config, default=False):
        for head, other in ((head, tied_partner(head, tensors, config)) for head in heads):
            if other and tensors[head].shape != tensors[other].shape:
                message = f"`config.json` ties `{escape(head)}` to `{escape(other)}`, which has another shape"
                yield warning("MG536", message, place, "set `tie_word_embeddings` to false")
        return
    if heads or says_tied(config, default=True) or not _is_writer(config) or _may_be_heads(tensors):
        return
    message = "`config.json` says that the output head is not tied to the embedding, and there is no head"
    help = "copy the rest of the model, or set `tie_word_embeddings` to true: what loads it would make up a head"
    yield warning("MG536", message, place, help)


def _is_writer(config: Config) -> bool:
    names = config.get("architectures")
    return isinstance(names, list) and any(isinstance(name, str) and _WRITES.fullmatch(name) for name in names)


def _may_be_heads(tensors: Mapping[str, Shaped]) -> bool:
    """Tell whether a matrix that is no embedding by its name has as many rows, or columns, as one that is."""
    rows = set(_rows(tensors, embeddings=True).values())
    matrices = (found.shape for name, found in tensors.items() if len(found.shape) == 2 and not is_embedding(name))
    return not rows or any(rows & set(shape) for shape in matrices)
