"""Tell what the bytes of an output depend on: its expressions, its inputs, the versions of the programs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cache
from importlib.metadata import version
from itertools import zip_longest

from mergegraph import __version__
from mergegraph.checkpoint.adapter import stamps
from mergegraph.checkpoint.checkpoint import Checkpoint
from mergegraph.compiler import Compilation
from mergegraph.ir.node import Node
from mergegraph.ir.print import expression_lines
from mergegraph.outputs.shards import written
from mergegraph.own import own_sources
from mergegraph.recipe.recipe import Save
from mergegraph.write.manifest import InputFile, InputModel


def plan_hash(compilation: Compilation, save: Save) -> str:
    """Return what decides the bytes of an output, apart from its inputs and the versions: all of its expressions.

    The text of the recipe would not do: it may import others.
    """
    digest = hashlib.sha256(own_sources(node.op for node in compilation.recipe.nodes()).encode())
    templates: dict[Node, int] = {}
    for tensor in written(compilation, compilation.recipe.saves.index(save)):
        if tensor.root not in templates:
            templates[tensor.root] = len(templates)
            digest.update("\n".join(expression_lines(tensor.root)).encode())
        digest.update(repr((templates[tensor.root], tensor.name, tensor.bindings)).encode())
    return digest.hexdigest()


def fingerprints(compilation: Compilation) -> dict[str, str]:
    """Return, for every input file, what changes when it does; a file is named by its model and its own name."""
    checkpoints = [compilation.checkpoints[model] for model in compilation.recipe.models]
    return _weight_fingerprints(checkpoints) | _tokenizer_fingerprints(compilation)


def _weight_fingerprints(checkpoints: Iterable[Checkpoint]) -> dict[str, str]:
    found = {}
    for number, checkpoint in enumerate(checkpoints):
        for header, (name, _, sha256) in zip_longest(checkpoint.files, stamps(checkpoint)):
            identity = header.identity if header else None
            state = f"{identity.inode}:{identity.size}:{identity.mtime_ns}" if identity else ""
            found[_file_of(checkpoint, number, name)] = f"{sha256}:{checkpoint.commit or state}"
    return found


def _tokenizer_fingerprints(compilation: Compilation) -> dict[str, str]:
    """Return, for every tokenizer that decides which row is whose, what changes when it does."""
    numbers = {model: number for number, model in enumerate(compilation.recipe.models)}
    return {
        _file_of(compilation.checkpoints[model], numbers[model], tokens.path.name): tokens.digest
        for model, tokens in compilation.alignments.tokens.items()
        if tokens is not None and model in numbers
    }


def _file_of(checkpoint: Checkpoint, number: int, name: str) -> str:
    return f"{checkpoint.source.rstrip('/')}/{name} (input {number + 1})"


def versions() -> dict[str, str]:
    """Return the versions of what has a say in the bytes."""
    return {"mergegraph": __version__, "torch": _installed("torch")}


@cache
def _installed(package: str) -> str:
    """Return the version of a package. Finding it takes milliseconds, and each of many outputs asks."""
    return version(package)


def input_model(checkpoint: Checkpoint) -> InputModel:
    """Return what the manifest says of an input."""
    files = tuple(InputFile(*stamp) for stamp in stamps(checkpoint))
    return InputModel(checkpoint.source, checkpoint.commit, files)
