"""Find the tensors that have a row for each token, without knowing any architecture."""

from __future__ import annotations

from mergegraph.checkpoint.checkpoint import Checkpoint, Tensor
from mergegraph.checkpoint.claims import configured_tokens
from mergegraph.checkpoint.layers import split_layer
from mergegraph.checkpoint.tied import EMBEDDINGS, NOT_TOKENS, is_head


def vocabulary_tensors(checkpoint: Checkpoint) -> frozenset[str]:
    """Return the names of the tensors with a row, or in a vector an element, for each token.

    They lie outside all layers. Input embeddings and output heads are known by their names and by having enough rows;
    others (biases, embeddings of other names) have as many rows as these, or as `config.json` gives tokens.
    """
    prefixes = [stack.prefix for stack in checkpoint.stacks]
    outside = [t for name, t in checkpoint.tensors.items() if split_layer(name, prefixes) is None and _fits(t)]
    named = {tensor.name for tensor in outside if len(tensor.shape) == 2 and _named(tensor.name)}
    counts = {tensor.shape[0] for tensor in outside if tensor.name in named} | set(configured_tokens(checkpoint.config))
    others = {t.name for t in outside if t.shape[0] in counts and not NOT_TOKENS.search(t.name) and _is_one(t)}
    return frozenset(named | others)


def _fits(tensor: Tensor) -> bool:
    return len(tensor.shape) in (1, 2) and tensor.shape[0] > 0


def _named(name: str) -> bool:
    if NOT_TOKENS.search(name):
        return False
    return is_head(name) or name.removesuffix(".weight").rpartition(".")[2] in EMBEDDINGS


def _is_one(tensor: Tensor) -> bool:
    """Tell whether a tensor may be one by its axes: a vector only as a bias, a matrix unless it is square."""
    return tensor.shape[0] != tensor.shape[1] if len(tensor.shape) == 2 else tensor.name.endswith("bias")
