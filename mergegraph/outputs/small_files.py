"""Make the files beside the weights: configuration, tokenizer, model card, manifest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from mergegraph.checkpoint.adapter_config import CONFIG
from mergegraph.checkpoint.checkpoint import Checkpoint
from mergegraph.checkpoint.claims import rows_instead
from mergegraph.checkpoint.files import read_small
from mergegraph.checkpoint.layers import split_layer
from mergegraph.checkpoint.licence import licence_of
from mergegraph.checkpoint.tied import is_head, says_tied, tied_partner
from mergegraph.compiler import Compilation
from mergegraph.diagnostics import Diagnostic, escape
from mergegraph.ir.node import Node
from mergegraph.lower.names import Namer
from mergegraph.outputs.identity import input_model, versions
from mergegraph.outputs.shards import main_dtype
from mergegraph.recipe.recipe import Save
from mergegraph.recipe.recipe import donor as model_of
from mergegraph.report.mermaid import recipe_mermaid
from mergegraph.vocabulary.files import lost_warning, renumbered, token_files
from mergegraph.write.adapter import Adapted, adapter_config
from mergegraph.write.card import Parent, model_card
from mergegraph.write.config import Stack, merged_config
from mergegraph.write.layout import Layout
from mergegraph.write.manifest import CARD_NAME, build_manifest
from mergegraph.write.refusals import MANIFEST_NAME

MAX_EXTRA_BYTES = 256_000_000
"""The longest file beside the weights, such as a tokenizer, that is copied."""


def small_files(
    compilation: Compilation,
    index: int,
    shards: Layout,
    digests: Mapping[str, str],
    title: str,
    read: Callable[[Path], bytes],
) -> tuple[dict[str, bytes], tuple[Diagnostic, ...]]:
    """Return every file beside the weights by its path in the directory, the manifest last, and what they lack.

    `read` gives the bytes of a file that is copied; outputs with the same tokenizer share them.
    """
    warnings: tuple[Diagnostic, ...] = ()
    if index in compilation.extracted:
        files = {CONFIG: adapter_config(_adapted(compilation, index))}
    else:
        files, warnings = _files_of_model(compilation, index, shards, digests, read)
    files[CARD_NAME] = _card(compilation, index, title)
    files[MANIFEST_NAME] = _manifest(compilation, compilation.recipe.saves[index], shards, digests, files)
    return files, warnings


def _files_of_model(
    compilation: Compilation,
    index: int,
    shards: Layout,
    digests: Mapping[str, str],
    read: Callable[[Path], bytes],
) -> tuple[dict[str, bytes], tuple[Diagnostic, ...]]:
    save = compilation.recipe.saves[index]
    donor = compilation.checkpoints[save.config]
    alignment, tokens = compilation.alignments.saves[index], compilation.alignments.tokens.get(save.config)
    files = token_files(_tokenizers(compilation, index), read, alignment.joined, alignment.template)
    warnings: tuple[Diagnostic, ...] = ()
    if donor.config:
        found: Mapping[str, object] = donor.config
        lost: list[str] = []
        if tokens is not None and alignment.joined is not None:
            found, lost = renumbered(donor.config, tokens, alignment.joined)
        aligned, parted = save.vocabulary.exact or alignment.gathers, _parted(donor, digests)
        config = merged_config(
            found,
            dtype=main_dtype(shards, compilation, index),
            stacks=_stacks(compilation, save, donor),
            tied=False if parted or _has_new_head(shards, donor) else None,
            vocab_size=alignment.rows if aligned else rows_instead(donor.config, donor.tensors),
        )
        files["config.json"] = config.data
        warnings = (*config.warnings, *map(_parted_warning, parted), *([lost_warning(lost)] if lost else ()))
    return files, warnings


def _card(compilation: Compilation, index: int, title: str) -> bytes:
    recipe, save = compilation.recipe, compilation.recipe.saves[index]
    parents = [compilation.checkpoints[model] for model in recipe.parents(save)]
    extracted = index in compilation.extracted
    base = _adapted_model(compilation, index) if extracted else None
    card = model_card(
        title,
        [_parent(parent) for parent in parents],
        recipe=compilation.source.text,
        mermaid=recipe_mermaid(recipe, [save]),
        licences=[licence_of(parent) for parent in parents],
        adapts=[_parent(each) for each in (base,) if each] if extracted else None,
    )
    return card.encode("utf-8", "replace")


def _manifest(
    compilation: Compilation, save: Save, shards: Layout, digests: Mapping[str, str], files: Mapping[str, bytes]
) -> bytes:
    recipe = compilation.recipe
    return build_manifest(
        recipe=compilation.source.text,
        imports=recipe.imports,
        seed=recipe.seed,
        save={"path": save.path, "dtype": save.dtype},
        inputs=[input_model(compilation.checkpoints[parent]) for parent in recipe.parents(save)],
        versions=versions(),
        layout=shards,
        digests=digests,
        small_files=files,
    )


def _adapted(compilation: Compilation, index: int) -> Adapted:
    """Return what the configuration of an adapter says."""
    found, base = compilation.extracted[index], _adapted_model(compilation, index)
    ranks = {part.module: part.rank for part in found.parts if part.rank}
    saved = {part.module for part in found.parts} - ranks.keys()
    return Adapted(ranks, tuple(sorted(saved)), found.transposed, base.source if base else None)


def _adapted_model(compilation: Compilation, index: int) -> Checkpoint | None:
    """Return the checkpoint that an adapter is for; None if its base is an expression."""
    base = compilation.recipe.saves[index].value.inputs[1]
    return compilation.checkpoints[base] if base.op == "model" else None


def fetch_small_files(compilation: Compilation) -> None:
    """Download what is copied or quoted at the end, so that a network that fails later does no harm."""
    for index, save in enumerate(compilation.recipe.saves):
        for checkpoint in () if index in compilation.extracted else _tokenizers(compilation, index):
            for path in checkpoint.extras:
                checkpoint.member(path)
        for model in compilation.recipe.parents(save):
            licence_of(compilation.checkpoints[model])


def _tokenizers(compilation: Compilation, index: int) -> list[Checkpoint]:
    """Return what the files beside the weights are copied from: of an adapter first from the model it belongs to."""
    tokenizer = compilation.alignments.saves[index].tokenizer
    nodes = [tokenizer] if tokenizer.op == "model" else [model_of(compilation.recipe.anchors[tokenizer]), tokenizer]
    return [compilation.checkpoints[node] for node in nodes]


def read_extra(path: Path) -> bytes:
    """Return a file that is copied. MergeGraphError if it is too long."""
    return read_small(path, MAX_EXTRA_BYTES, "file beside the weights")


def _has_new_head(shards: Layout, donor: Checkpoint) -> bool:
    """Tell whether the output has a head of its own that the donor lacks."""
    return any(is_head(name) and name not in donor.tensors for name in shards.shard_of)


def _parted(donor: Checkpoint, digests: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the heads of an output that differ from the embedding that the donor's configuration ties them to."""
    if not says_tied(donor.config, default=False):
        return []
    heads = ((name, tied_partner(name, digests, donor.config)) for name in digests if is_head(name))
    return [(head, other) for head, other in heads if other and digests[head] != digests[other]]


def _parted_warning(pair: tuple[str, str]) -> Diagnostic:
    head, other = map(escape, pair)
    message = f"`{head}` is not what `{other}` is, to which `config.json` tied it: `tie_word_embeddings` is false now"
    help = "it is loaded as it is; where both should be one, take them by `select` from a model in which they are"
    return Diagnostic("MG632", message, help=(help,), severity="warning")


def _stacks(compilation: Compilation, save: Save, donor: Checkpoint) -> list[Stack]:
    """Return the stacks of the output whose layers are not those of the donor, and where each layer comes from."""
    origins = layer_origins(compilation, save.value)
    found = []
    for stack in donor.stacks:
        layers = origins.get(stack.prefix, {})
        if (layers and set(layers) != set(range(stack.count))) or any(o != (save.config, i) for i, o in layers.items()):
            sources = tuple(
                (compilation.checkpoints[model].config, number) for _, (model, number) in sorted(layers.items())
            )
            found.append(Stack(stack.prefix, stack.count, sources))
    return found


def layer_origins(compilation: Compilation, value: Node) -> dict[str, dict[int, tuple[Node, int]]]:
    """Return, for every layer of a value by stack and number, the model it is a change of and its number there."""
    namer = Namer(compilation.recipe, compilation.checkpoints, compilation.adapters)
    names = namer.names(value)
    found: dict[str, dict[int, tuple[Node, int]]] = {}
    for name in names.names:
        layer = split_layer(name, names.prefixes)
        if layer and layer.index not in found.setdefault(layer.prefix, {}):
            model, inner = namer.home(value, name)
            below = split_layer(inner, namer.names(model).prefixes)
            found[layer.prefix][layer.index] = model, below.index if below else layer.index
    return found


def _parent(checkpoint: Checkpoint) -> Parent:
    return Parent(checkpoint.source, checkpoint.source if checkpoint.commit else None, checkpoint.commit)
