"""Checkpoints."""

from __future__ import annotations

from mergegraph.ops.declaration import Locality, Model, op, primitive


@op(locality=Locality.LAYOUT, primitive=True)
def model(*, source: str, revision: str | None = None) -> Model:
    """Name a checkpoint: a directory or file, a Hub id, or `python:package/folder`."""
    return primitive()
