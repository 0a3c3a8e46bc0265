"""Adapters."""

from __future__ import annotations

from mergegraph.ops.declaration import Delta, Locality, Models, op, primitive


@op(locality=Locality.POINTWISE, primitive=True, paper="2106.09685")
def lora(base: Models = (), *, source: str, revision: str | None = None) -> Delta:
    """Take what a LoRA adapter of peft adds to a model: `α/r · B A`, computed tile by tile.

    Written `lora("folder or Hub id", scale=1, base=none, revision=none)`; `scale` multiplies it. Its base is the model
    that it is added to, or `base` where that is not plain. rsLoRA, DoRA, patterns of ranks and alphas, embeddings,
    convolutions, experts, modules saved whole and trained tokens are known; every tensor of the adapter must be used.
    """
    return primitive()
