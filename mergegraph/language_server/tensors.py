"""Look at the tensors of the models that a recipe names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from fnmatch import translate

from mergegraph.checkpoint.checkpoint import Checkpoint
from mergegraph.checkpoint.layers import split_layer
from mergegraph.checkpoint.summary import describe
from mergegraph.diagnostics import escape
from mergegraph.language_server.document import Document
from mergegraph.sizes import format_size

SHOWN = 5


def names(document: Document) -> dict[str, None]:
    """Return the names of the tensors of all models, each once, in order."""
    return {name: None for checkpoint in document.models.values() for name in checkpoint.tensors}


def globs(document: Document) -> dict[str, int]:
    """Return globs that people may want of these tensors, with how many each matches."""
    prefixes = tuple(stack.prefix for checkpoint in document.models.values() for stack in checkpoint.stacks)
    found: Counter[str] = Counter()
    for name in names(document):
        layer = split_layer(name, prefixes)
        if layer is None:
            found[name] += 1
            continue
        found.update({f"{layer.prefix}.{layer.index}.*", *(f"*.{part}.*" for part in layer.suffix.split(".")[:-1])})
    return dict(found)


def matching(document: Document, glob: str) -> str:
    """Return how many tensors a glob matches, and the first of them, in words."""
    pattern = re.compile(translate(glob))
    found = [name for name in names(document) if pattern.match(name)]
    if not document.models:
        return "no model of this recipe is on this machine"
    if not found:
        return "matches no tensor"
    more = f"\n- … {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    listed = "\n".join(f"- `{escape(name)}`" for name in found[:SHOWN])
    return f"matches {len(found)} of {len(names(document))} tensors\n\n{listed}{more}"


def described(checkpoint: Checkpoint) -> str:
    """Return what a model holds, in words."""
    return "\n".join(f"- {line}" for line in _facts(checkpoint))


def _facts(checkpoint: Checkpoint) -> Iterator[str]:
    summary = describe(checkpoint)
    yield f"{summary.parameters:,} parameters, {format_size(summary.nbytes)}, {summary.tensors} tensors"
    yield "types: " + ", ".join(f"{name} × {count:,}" for name, count in summary.dtypes.items())
    for stack in summary.stacks:
        yield f"layers: `{escape(stack.prefix)}` × {stack.count}"
    largest = sorted(checkpoint.tensors.values(), key=lambda tensor: -tensor.nbytes)[:SHOWN]
    yield "largest: " + ", ".join(f"`{escape(tensor.name)}` {list(tensor.shape)}" for tensor in largest)
