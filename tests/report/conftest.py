import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import tokenized
import torch
from families import make_family
from safetensors.torch import save_file

from mergegraph.compiler import Compilation
from mergegraph.diagnostics import Source
from mergegraph.plan.plan import Plan
from mergegraph.plan.planner import Resources, arrange, plan

RECIPES = Path(__file__).parent.parent / "fixtures" / "recipes"
BASELINE = 330_000_000
TALL = ("frankenmerge", "study")
SPOKEN = ("adapters", "tokenizers")
"""What needs models with tokenizers, and an adapter."""
STUDIED = {
    "base": "meta-llama/Llama-3.1-8B-Instruct",
    "a": "Alelcv27/Llama3.1-8B-Code",
    "b": "Alelcv27/Llama3.1-8B-Math-CoT",
}
"""What the study calls the tall models: a folder of that name is taken before the Hub is asked."""


@pytest.fixture(scope="session")
def family(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the models base, a, b and c, of four layers each, in two shards."""
    folder = tmp_path_factory.mktemp("family")
    make_family(folder, layers=4, shards=2)
    return folder


@pytest.fixture(scope="session")
def tall_family(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the models base, a and b, of thirty-two layers each."""
    folder = tmp_path_factory.mktemp("tall_family")
    make_family(folder, layers=32, models=("base", "a", "b"), hidden=16, intermediate=16, vocab=16)
    (folder / "meta-llama").mkdir()
    (folder / "Alelcv27").mkdir()
    for name, called in STUDIED.items():
        (folder / called).symlink_to(folder / name)
    return folder


@pytest.fixture(scope="session")
def spoken_family(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the models base, b and code, each with its own tokens, and an adapter of peft's form."""
    folder = tmp_path_factory.mktemp("spoken_family")
    plain = tokenized.bpe()
    tokenized.write_model(folder / "base", plain, 0)
    tokenized.write_model(folder / "b", tokenized.extended(plain, special=["<|im_end|>"]), 1)
    tokenized.write_model(folder / "code", tokenized.extended(plain, special=["<|code|>"]), 2)
    adapter = folder / "math-adapter"
    adapter.mkdir()
    settings = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj", "down_proj"]}
    (adapter / "adapter_config.json").write_text(json.dumps(settings), encoding="utf-8")
    key = "base_model.model.model.layers.0.{}.lora_{}.weight"
    tensors = {
        key.format(module, half): torch.full(shape, 0.1)
        for module, into in (("self_attn.q_proj", 4), ("mlp.down_proj", 8))
        for half, shape in (("A", (2, into)), ("B", (4, 2)))
    }
    save_file(tensors, adapter / "adapter_model.safetensors")
    return folder


@pytest.fixture(scope="session")
def compiled(family: Path, tall_family: Path, spoken_family: Path) -> Callable[[str], Compilation]:
    """Return what compiles a recipe of the fixtures by its name."""

    @cache
    def compile_recipe(name: str) -> Compilation:
        text = (RECIPES / f"{name}.merge").read_text(encoding="utf-8")
        folder = tall_family if name in TALL else spoken_family if name in SPOKEN else family
        return Compilation(Source(f"{name}.merge", text), folder)

    return compile_recipe


@pytest.fixture(scope="session")
def planned() -> Callable[..., Plan]:
    """Return what plans a compilation as if on another machine: nothing of this one enters."""

    def make_plan(compilation: Compilation, memory: int = 1_000_000_000, workers: int = 2, cache: int = 0) -> Plan:
        return plan(
            arrange(compilation.optimized), compilation.tensor, Resources(memory, workers, BASELINE, cache, True)
        )

    return make_plan
