"""A merge of models much larger than its memory cap stays below the cap."""

import json
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import save_file

ROWS = 12_000
"""Rows of the largest tensor: 98 MB of float16."""

RECIPE = """
base = model("./base.safetensors")
a = model("./a.safetensors")
b = model("./b.safetensors")
save {} to "out"
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Three models of 130 MB, three quarters of it one tensor."""
    folder = tmp_path_factory.mktemp("large")
    rng = np.random.default_rng(0)
    for name in ("base", "a", "b"):
        shapes = {"embed": (ROWS, 4096), **{f"layers.{i}.w": (2048, 4096) for i in range(2)}}
        save_file(
            {n: rng.random(s, np.float32).astype(np.float16) for n, s in shapes.items()}, folder / f"{name}.safetensors"
        )
    return folder


@pytest.mark.parametrize(
    "expression",
    ["ties(a, b, base=base, density=0.5)", "slerp(a, b, t=0.4)", "dare_ties(a, b, base=base, density=0.5)"],
)
def test_peak_stays_below_the_cap(models, tmp_path, expression):
    (models / "large.merge").write_text(RECIPE.format(expression))
    hashes = set()
    for memory, workers in (("380MB", "1"), ("420MB", "2"), ("2GB", "2")):
        out = tmp_path / memory / "out"
        command = [sys.executable, "-m", "mergegraph", "run", str(models / "large.merge"), str(out)]
        done = subprocess.run(
            [*command, "--memory", memory, "--workers", workers, "--json"], capture_output=True, text=True, check=True
        )
        figures = json.loads(done.stdout)
        cap = float(memory.rstrip("MGB")) * (1e6 if "MB" in memory else 1e9)
        assert figures["peak_rss_bytes"] <= figures["planned_peak_bytes"] <= cap
        manifest = json.loads((out / "mergegraph.json").read_text())
        hashes.add(json.dumps(manifest["tensors"]))
    assert len(hashes) == 1
