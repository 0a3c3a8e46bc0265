"""Read the tiny family under tests/fixtures/mergekit and what mergekit 0.1.5 made of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from families import Array, Tensors, as64, read_model
from transformers import AutoConfig

GOLDEN = Path(__file__).resolve().parent.parent / "fixtures" / "mergekit"
TOLERANCE = 1e-6
"""How far, absolutely, a float32 output may lie from mergekit's."""


def config(name: str) -> Path:
    """Return the path of a mergekit configuration."""
    return GOLDEN / f"{name}.yml"


def inputs(model: str) -> dict[str, Array]:
    """Return the tensors of one input model in float64."""
    return {name: as64(tensor) for name, tensor in read_model(GOLDEN / model).items()}


def outputs(name: str) -> Tensors:
    """Return mergekit's float32 output for a configuration."""
    return read_model(GOLDEN / "outputs" / f"{name}.safetensors")


def assert_golden(result: Tensors, name: str) -> None:
    """Fail unless a merge has the tensors of mergekit's output and values within `TOLERANCE` of it."""
    expected = outputs(name)
    assert result.keys() == expected.keys()
    for key, tensor in expected.items():
        distance = np.abs(as64(result[key]) - as64(tensor)).max()
        assert distance <= TOLERANCE, f"{name}: {key} is up to {distance:.3g} away"


def assert_golden_configuration(path: Path, name: str) -> None:
    """Fail unless transformers reads a `config.json` as the one of mergekit, where that was kept."""
    expected = GOLDEN / "outputs" / f"{name}.json"
    if expected.exists():
        one, other = (AutoConfig.for_model(**json.loads(p.read_text("utf-8"))).to_dict() for p in (path, expected))
        assert {**one, "transformers_version": ""} == {**other, "transformers_version": ""}
