"""mergekit's tokenizer settings, unchanged, give mergekit's rows, token by token."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tokenized import EMBEDDING, HEAD, rows, settings, vocabulary

from mergegraph.compiler import Compilation, read_recipe
from mergegraph.diagnostics import Source
from mergegraph.merge import Options, merge
from mergegraph.syntax.format import format_recipe

GOLDEN = Path(__file__).parent.parent / "fixtures" / "tokenizers"
TOLERANCE = 1e-6
"""How far, absolutely, a float32 output may lie from mergekit's."""


@pytest.mark.parametrize("name", sorted(path.stem for path in GOLDEN.glob("*.yml")))
def test_rows_are_mergekits(name, tmp_path):
    written = read_recipe(GOLDEN / f"{name}.yml")
    merge(written, tmp_path / "out", Options())
    expected = load_file(GOLDEN / "outputs" / f"{name}.safetensors")
    numbers = json.loads((GOLDEN / "outputs" / f"{name}.json").read_text())
    found = load_file(tmp_path / "out" / "model.safetensors")
    assert found.keys() == expected.keys()
    assert vocabulary(tmp_path / "out").keys() == numbers.keys()
    assert settings(tmp_path / "out")["vocab_size"] == len(expected[EMBEDDING]) == len(found[EMBEDDING])
    for tensor, matrix in expected.items():
        if tensor not in (EMBEDDING, HEAD):
            assert (found[tensor] - matrix).abs().max() <= TOLERANCE
            continue
        assert found[tensor].shape == matrix.shape
        for token, row in rows(tmp_path / "out", tensor).items():
            assert torch.allclose(row, matrix[numbers[token]], rtol=0, atol=TOLERANCE), (tensor, token)
        padding = len(numbers)
        assert torch.allclose(found[tensor][padding:], matrix[padding:], rtol=0, atol=TOLERANCE), tensor


@pytest.mark.parametrize("name", ["tokens", "padded", "of_a_model"])
def test_the_imported_text_gives_the_same_bytes(name, tmp_path):
    written = read_recipe(GOLDEN / f"{name}.yml")
    imported = Compilation(Source("imported.merge", format_recipe(written.syntax)), GOLDEN)
    merge(written, tmp_path / "yaml", Options())
    merge(imported, tmp_path / "text", Options())
    files = [path.name for path in (tmp_path / "yaml").iterdir() if path.name not in ("README.md", "mergegraph.json")]
    for file in files:
        assert (tmp_path / "yaml" / file).read_bytes() == (tmp_path / "text" / file).read_bytes()
