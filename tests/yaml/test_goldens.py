"""mergekit's configurations, unchanged, give mergekit's tensors; imported as text they give the same bytes."""

from pathlib import Path

import golden
import pytest
import torch
from families import make_family, read_model

from mergegraph.compiler import Compilation, read_recipe
from mergegraph.diagnostics import Source
from mergegraph.merge import Options, merge
from mergegraph.syntax.format import format_recipe

CONFIGURATIONS = sorted(path.stem for path in golden.GOLDEN.glob("*.yml"))
FIXTURES = Path(__file__).parent.parent / "fixtures" / "yaml"
WHOLE = sorted(path for folder in ("study", "published", "others") for path in (FIXTURES / folder).glob("*.yml"))
"""A published study, the shapes of mergekit's own examples, and some more; benchmarks/drop_in.py compares values."""
LAYERS = {"passthrough": 48, "frankenmerge": 44, "franken_linear": 44, "scaled_blocks": 33}
WARNED = {"sliced_ties": {"MG164"}}
"""Gradients without a value of their own for the head."""


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_mergekit_agrees(name, tmp_path):
    merge(read_recipe(golden.config(name)), tmp_path / "out", Options())
    result = read_model(tmp_path / "out")
    if name.startswith("modules"):  # mergekit leaves out what is in no module
        assert torch.equal(result.pop("shared.weight"), read_model(golden.GOLDEN / "t5_a")["shared.weight"])
    golden.assert_golden(result, name)
    golden.assert_golden_configuration(tmp_path / "out" / "config.json", name)


@pytest.fixture(scope="module")
def family(tmp_path_factory):
    """A folder with four models of 32 layers."""
    folder = tmp_path_factory.mktemp("family")
    names, sizes = ("base", "code", "math", "chat"), {"hidden": 8, "intermediate": 8, "vocab": 16}
    make_family(folder, models=names, layers=32, heads=2, kv_heads=1, thin=True, **sizes)
    return folder


def data(folder):
    """Return the bytes of all that a loader reads; the card and the manifest quote the recipe."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.name: path.read_bytes() for path in paths if path.name not in ("README.md", "mergegraph.json")}


@pytest.mark.parametrize("path", WHOLE, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_the_imported_text_gives_the_same_bytes(path, family, tmp_path):
    written = Compilation(Source(path.name, path.read_text()), family)
    imported = Compilation(Source("imported.merge", format_recipe(written.syntax)), family)
    merge(written, tmp_path / "yaml", Options())
    merge(imported, tmp_path / "text", Options())
    assert data(tmp_path / "yaml") == data(tmp_path / "text")
    assert f'"num_hidden_layers": {LAYERS.get(path.stem, 32)}' in (tmp_path / "yaml" / "config.json").read_text()
    assert {warning.code for warning in written.warnings()} == WARNED.get(path.stem, set())


@pytest.mark.parametrize("name", ["modules", "modules_of_slices", "towers", "filters_by_number"])
def test_imported_modules_and_numbers_give_the_same_bytes(name, tmp_path):
    written = read_recipe(golden.config(name))
    imported = Compilation(Source("imported.merge", format_recipe(written.syntax)), golden.GOLDEN)
    merge(written, tmp_path / "yaml", Options())
    merge(imported, tmp_path / "text", Options())
    assert data(tmp_path / "yaml") == data(tmp_path / "text")


STAGES = """
name: middle
merge_method: linear
models:
  - {model: ./code, parameters: {weight: 0.5}}
  - {model: ./math, parameters: {weight: 0.5}}
dtype: float32
---
merge_method: task_arithmetic
base_model: ./base
models: [{model: middle, parameters: {weight: 0.5}}]
"""


def test_what_another_merge_uses_is_not_written(family, tmp_path):
    merge(Compilation(Source("stages.yml", STAGES), family), tmp_path / "out", Options())
    text = 'save linear(model("./code"), model("./math")) to "middle" with dtype="float32"'
    merge(Compilation(Source("middle.merge", text), family), tmp_path / "middle", Options())
    base, middle = (read_model(folder) for folder in (family / "base", tmp_path / "middle"))
    merged = read_model(tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir() if "middle" not in path.name] == ["out"]
    for name, tensor in merged.items():
        exact = base[name].double() + 0.5 * (middle[name].double() - base[name].double())
        assert (tensor.double() - exact).abs().max() <= 2**-8 * exact.abs().max()
