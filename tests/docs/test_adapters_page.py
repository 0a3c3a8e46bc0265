"""Run the page on adapters as it is printed."""

import json
from pathlib import Path

import torch
from families import make_family
from safetensors.torch import load_file, save_file
from snippets import ROOT, run_page

CONFIG = {"peft_type": "LORA", "r": 8, "lora_alpha": 16}
QUERY = "encoder.layer.{}.attention.self.query"


def write_adapter(folder: Path, modules: list[str], size: int, seed: int) -> None:
    """Write an adapter of random numbers for square matrices, in the files and under the names of peft."""
    generator = torch.Generator().manual_seed(seed)
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps(CONFIG))
    tensors = {}
    for module in modules:
        for half, shape in (("A", (8, size)), ("B", (size, 8))):
            tensors[f"base_model.model.{module}.lora_{half}.weight"] = 0.1 * torch.randn(shape, generator=generator)
    save_file(tensors, folder / "adapter_model.safetensors")


def test_adapters_page(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    make_family(tmp_path, models=("base", "b"))
    projections = [f"model.layers.{i}.self_attn.q_proj" for i in range(2)]
    write_adapter(tmp_path / "adapter", [QUERY.format(i) for i in range(6)], 384, 0)
    write_adapter(tmp_path / "math-adapter", projections, 32, 1)
    write_adapter(tmp_path / "code-adapter", projections, 32, 2)
    run_page(ROOT / "docs" / "how-to" / "adapters.md", lambda: "".join(capsys.readouterr()))
    adapter = load_file("adapter/adapter_model.safetensors")
    whole, small = (load_file(f"{name}/adapter_model.safetensors") for name in ("extracted", "small"))
    for i in range(6):
        given, found = (_product(tensors, QUERY.format(i)) for tensors in (adapter, whole))
        torch.testing.assert_close(found, 2 * given, rtol=0, atol=1e-5)
    assert {name.rpartition(".lora")[0] for name in small} == {f"base_model.model.{QUERY.format(i)}" for i in range(6)}


def _product(tensors: dict[str, torch.Tensor], module: str) -> torch.Tensor:
    a, b = (tensors[f"base_model.model.{module}.lora_{half}.weight"].double() for half in "AB")
    return b @ a
