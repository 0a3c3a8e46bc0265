"""Compare what a model's configuration says of its tensors with them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mergegraph.checkpoint.faults import warning
from mergegraph.checkpoint.layers import Stack
from mergegraph.diagnostics import Diagnostic


def overstated(config: Mapping[str, Any], stacks: Iterable[Stack], folder: Path) -> tuple[Diagnostic, ...]:
    """Return a warning (MG534) where a configuration promises more layers than the longest stack has.

    Fewer are usual: layers that predict further tokens aren't counted. A single one may stand for all that are alike.
    """
    said, found = config.get("num_hidden_layers"), max((stack.count for stack in stacks), default=0)
    if type(said) is not int or found < 2 or said <= found:
        return ()
    message = f"`config.json` promises {said:,} layers; the tensors are those of {found:,}"
    help = "copy the rest of the model, or correct `num_hidden_layers`: what loads it would make up the missing layers"
    return (warning("MG534", message, folder / "config.json", help),)
