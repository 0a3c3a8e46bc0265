"""`inspect` of adapters: what is said of one that peft writes, and its figures against torch."""

import json

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file

from mergegraph.cli.app import run


class Net(torch.nn.Module):
    """Three layers of two modules, and a head."""

    def __init__(self):
        super().__init__()
        self.layers = torch.nn.ModuleList(
            torch.nn.ModuleDict({"up": torch.nn.Linear(8, 16), "down": torch.nn.Linear(16, 8)}) for _ in range(3)
        )
        self.head = torch.nn.Linear(8, 5)


def adapter(folder, **settings):
    torch.manual_seed(0)
    config = LoraConfig(r=2, lora_alpha=6, target_modules=["up", "down"], init_lora_weights=False, **settings)
    get_peft_model(Net(), config).save_pretrained(folder)


def test_what_peft_writes_is_shown(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    adapter("adapter", rank_pattern={"layers.1.up": 4}, modules_to_save=["head"])
    assert run(["inspect", "adapter"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    size = (tmp_path / "adapter" / "adapter_model.safetensors").stat().st_size
    assert head == "adapter: a LoRA adapter, 381 parameters, 1.52 KB"
    assert lines[:3] == [
        "  rank    2, alpha 6, others by patterns",
        "  types   float32 × 381",
        f"  file    adapter_model.safetensors, {size / 1000:.2f} KB",
    ]
    assert [" ".join(line.split()) for line in lines[4:]] == [
        "layers.*.down rank 2 scale 3 float32[8, 2] · float32[2, 16] 3 modules 576 B",
        "layers.*.up rank 2 scale 3 float32[16, 2] · float32[2, 8] 2 modules 384 B",
        "layers.*.up rank 4 scale 1.5 float32[16, 4] · float32[4, 8] 1 module 384 B",
        "head.bias replaced float32[5] 1 tensor 20 B",
        "head.weight replaced float32[5, 8] 1 tensor 160 B",
    ]


def test_figures_of_its_tensors(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    adapter("adapter", use_rslora=True)
    assert run(["inspect", "adapter", "--stats", "--tensor", "*.0.up.lora_A.*", "--format", "json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    (tensor,) = facts["tensors"]
    values = load_file("adapter/adapter_model.safetensors")[tensor["name"]].double()
    assert abs(tensor["statistics"]["norm"] - values.norm().item()) < 1e-6
    assert abs(tensor["statistics"]["mean"] - values.mean().item()) < 1e-9
    assert facts["adapter"]["kind"] == "rsLoRA"
    module = facts["adapter"]["modules"][0]
    assert (module["name"], module["rank"], round(module["scale"], 6)) == ("layers.0.down", 2, 4.242641)
    assert run(["inspect", "adapter", "--tensor", "*.7.*"]) == 2
