"""`inspect --stats` against numpy on whole tensors."""

import json
import os
import re

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_torch

from mergegraph.cli.app import run
from mergegraph.survey import small


@pytest.fixture
def model(tmp_path, monkeypatch):
    """A checkpoint with what figures go wrong on: NaN, infinity, equal values, nothing, integers, several tiles."""
    rng = np.random.default_rng(3)
    tensors = {
        "model.layers.0.mlp.weight": rng.normal(1.0, 0.01, (300, 400)).astype(np.float32),
        "model.layers.1.mlp.weight": (rng.normal(size=(3, 70_000)) * (rng.random((3, 70_000)) > 0.3)).astype(
            np.float16
        ),
        "holes": np.array([1.0, np.nan, -2.0, np.inf, 0.0, -np.inf], np.float32),
        "nothing but holes": np.full(4, np.nan, np.float32),
        "constant": np.full((2, 3), 0.1, np.float32),
        "scalar": np.array(2.5, np.float64),
        "empty": np.zeros((0, 4), np.float32),
        "numbers": np.arange(5),
    }
    save_file(tensors, tmp_path / "model.safetensors")
    monkeypatch.chdir(tmp_path)
    return tensors


def test_figures_are_those_of_numpy(model, capsys):
    assert run(["inspect", "model.safetensors", "--stats", "--format", "json"]) == 0
    out, err = capsys.readouterr()
    assert err.startswith("read ")
    found = {tensor["name"]: tensor for tensor in json.loads(out)["tensors"]}
    assert found.keys() == model.keys()
    assert found["empty"]["statistics"] is found["numbers"]["statistics"] is None
    for name, tensor in model.items():
        if name not in ("empty", "numbers"):
            _check(found[name]["statistics"], tensor)


def _check(figures, tensor):
    x = tensor.astype(np.float64).ravel()
    finite = x[np.isfinite(x)]
    assert figures["nonfinite"] == x.size - finite.size
    assert figures["zeros"] == np.count_nonzero(x == 0) / x.size
    assert figures["norm"] == pytest.approx(np.linalg.norm(finite), rel=1e-12)
    assert sum(figures["histogram"]) == finite.size
    if not finite.size:
        assert figures["mean"] == "nan"
        return
    assert figures["mean"] == pytest.approx(finite.mean(), rel=1e-12)
    assert figures["std"] == pytest.approx(finite.std(), rel=1e-9)
    assert (figures["smallest"], figures["largest"]) == (finite.min(), finite.max())
    if finite.min() < finite.max():
        edges = np.linspace(finite.min(), finite.max(), 17).astype(np.float32).astype(np.float64)
        inner = np.searchsorted(np.sort(finite), edges[1:-1], side="left")
        assert figures["histogram"] == np.diff([0, *inner, finite.size]).tolist()


def test_kinds_are_summed_up_and_tensors_listed(model, capsys):
    assert run(["inspect", "model.safetensors"]) == 0
    text = capsys.readouterr().out
    assert "model.layers × 2" in text
    assert "model.layers.*.mlp.weight  float32[300, 400]" in text
    assert run(["inspect", "model.safetensors", "--tensor", "h*", "--stats"]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("holes")]
    assert line.split()[2:9] == ["-0.3333", "1.247", "-2", "1", "2.236", "16.67%", "3"]
    assert run(["inspect", "model.safetensors", "--tensor", "mdoel*"]) == 2
    assert "error[MG380]: no tensor is named like `mdoel*`" in capsys.readouterr().err


def test_the_budget_is_refused_where_it_is_too_small(model, capsys):
    assert run(["inspect", "model.safetensors", "--stats", "--memory", "20MB"]) == 4
    assert "error[MG401]: this merge does not fit into 20 MB of memory" in capsys.readouterr().err


def test_small_tensors_are_described_at_once_as_one_by_one(tmp_path, monkeypatch, capsys):
    """The same figures to the last bit, for every type, and for what arithmetic overflows on."""
    random = torch.Generator().manual_seed(4)
    tensors = {
        f"{dtype}.{count}.{i}".removeprefix("torch."): torch.randn(count, generator=random).to(dtype)
        for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16)
        for count in (1, 2, 17, 1000, 16_384, 16_385)
        for i in range(3)
    }
    hard = [[0.0, -0.0], [3e38, -3e38], [1e-45, 1e-40], [float("nan"), 1.0], [float("inf"), float("-inf")]]
    tensors |= {f"hard.{i}": torch.tensor(values) for i, values in enumerate(hard)}
    tensors["too large"] = torch.tensor([1e300, 1.0], dtype=torch.float64)
    save_torch(tensors, tmp_path / "model.safetensors")
    monkeypatch.chdir(tmp_path)

    def described():
        assert run(["inspect", "model.safetensors", "--stats", "--format", "json"]) == 0
        out, err = capsys.readouterr()
        assert re.match(rf"read {sum(x.nbytes for x in tensors.values()) / 1e6:.3g} MB in ", err)
        return json.loads(out)

    at_once = described()
    monkeypatch.setattr(small, "SMALL", 0)
    assert described() == at_once


def test_a_file_that_changes_while_small_tensors_are_read(model, monkeypatch, capsys):
    def changed(*_):
        os.utime("model.safetensors", ns=(1, 1))
        return iter(())

    monkeypatch.setattr(small, "_batches", changed)
    assert run(["inspect", "model.safetensors", "--stats", "--tensor", "h*"]) == 3
    assert "error[MG530]: " in capsys.readouterr().err
