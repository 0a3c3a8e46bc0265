"""Architectures that transformers makes from their configuration classes merge, grow and load: none is known here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import references as ref
import torch
import transformers as hf
from families import as64, read_model
from merging import run

from mergegraph.checkpoint.checkpoint import open_checkpoint

SMALL = {"hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 4}
TEXT = {**SMALL, "vocab_size": 99, "num_hidden_layers": 2, "max_position_embeddings": 24}
EXPERTS = {**TEXT, "num_key_value_heads": 2, "num_experts_per_tok": 2, "sliding_window": None}
WORDS = {"input_ids": torch.tensor([[3, 5, 7, 9, 2, 4]])}
PICTURE = {"pixel_values": torch.linspace(-1, 1, 3 * 16 * 16).reshape(1, 3, 16, 16)}
VISION = {**SMALL, "num_hidden_layers": 2, "image_size": 16, "patch_size": 8}


@dataclass(frozen=True)
class Family:
    """A model class, a small configuration of it, an input, and its stacks with the number that each one has where."""

    model: type
    config: hf.PretrainedConfig
    inputs: Mapping[str, torch.Tensor]
    stacks: Mapping[str, tuple[str, ...]]


FAMILIES = {
    "bert": Family(hf.BertModel, hf.BertConfig(**TEXT), WORDS, {"encoder.layer": ("num_hidden_layers",)}),
    "gpt2": Family(
        hf.GPT2LMHeadModel,
        hf.GPT2Config(vocab_size=99, n_embd=32, n_layer=2, n_head=4, n_positions=24, bos_token_id=1, eos_token_id=2),
        WORDS,
        {"transformer.h": ("n_layer",)},
    ),
    "t5": Family(
        hf.T5ForConditionalGeneration,
        hf.T5Config(vocab_size=99, d_model=32, d_kv=8, d_ff=48, num_layers=2, num_decoder_layers=2, num_heads=4),
        {**WORDS, "decoder_input_ids": WORDS["input_ids"]},
        {"encoder.block": ("num_layers",), "decoder.block": ("num_decoder_layers",)},
    ),
    "vit": Family(hf.ViTModel, hf.ViTConfig(**VISION), PICTURE, {"encoder.layer": ("num_hidden_layers",)}),
    "clip": Family(
        hf.CLIPModel,
        hf.CLIPConfig(text_config={**TEXT, "eos_token_id": 2}, vision_config=VISION, projection_dim=16),
        {**WORDS, **PICTURE},
        {
            "text_model.encoder.layers": ("text_config", "num_hidden_layers"),
            "vision_model.encoder.layers": ("vision_config", "num_hidden_layers"),
        },
    ),
    "mixtral": Family(
        hf.MixtralForCausalLM,
        hf.MixtralConfig(**EXPERTS, num_local_experts=4),
        WORDS,
        {"model.layers": ("num_hidden_layers",)},
    ),
    "qwen_moe": Family(
        hf.Qwen2MoeForCausalLM,
        hf.Qwen2MoeConfig(
            **EXPERTS, num_experts=4, moe_intermediate_size=16, shared_expert_intermediate_size=32, mlp_only_layers=[0]
        ),
        WORDS,
        {"model.layers": ("num_hidden_layers",)},
    ),
    "mamba": Family(
        hf.MambaForCausalLM,
        hf.MambaConfig(vocab_size=99, hidden_size=32, num_hidden_layers=2, state_size=4, expand=2, time_step_rank=2),
        WORDS,
        {"backbone.layers": ("num_hidden_layers",)},
    ),
}


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Family, Path]:
    """A family, and a folder with a base and two changes of it as transformers writes them."""
    found, folder = FAMILIES[request.param], tmp_path_factory.mktemp(request.param)
    torch.manual_seed(0)
    model = found.model(found.config).eval()
    model.save_pretrained(folder / "base")
    for name in "ab":
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.02 * torch.randn_like(parameter))
        model.save_pretrained(folder / name)
    assert open_checkpoint("./a", relative_to=folder).warnings == ()
    return found, folder


def load(family: Family, path: Path) -> torch.nn.Module:
    """Return the model that transformers loads, no weight missing and none left over."""
    model, report = family.model.from_pretrained(path, output_loading_info=True)
    assert {kind: sorted(names) for kind, names in report.items() if names} == {}
    return model.eval()


def answer(family: Family, path: Path) -> torch.Tensor:
    with torch.no_grad():
        found = load(family, path)(**family.inputs)[0]
    assert bool(torch.isfinite(found).all())
    return found


def arrays(path: Path) -> dict[str, np.ndarray]:
    return {name: as64(tensor) for name, tensor in read_model(path).items()}


def test_merges_are_those_of_the_definition_and_load(family, tmp_path):
    found, folder = family
    run(
        folder,
        'base = model("./base")\na = model("./a")\nb = model("./b")\n'
        'save slerp(a, b, t=0.3) to "slerp"\nsave ties(a, b, base=base, density=0.4, weight=[0.6, 0.9]) to "ties"',
        tmp_path,
    )
    base, a, b = (arrays(folder / name) for name in ("base", "a", "b"))
    for name, tensor in read_model(tmp_path / "slerp").items():
        ref.assert_close(tensor, ref.slerp(a[name], b[name], 0.3), [a[name], b[name]], name=name)
    for name, tensor in read_model(tmp_path / "ties").items():
        ds = [ref.difference(x[name], base[name]) for x in (a, b)]
        expected = ref.ties([a[name], b[name]], base[name], weight=[0.6, 0.9], density=0.4)
        close = ref.near_tie([ref.trim(d, 0.4) for d in ds], [0.6, 0.9])
        ref.assert_close(tensor, expected, [base[name], *ds], skip=close, name=name)
    assert read_model(tmp_path / "slerp").keys() == a.keys()
    parents = answer(found, folder / "a")
    for name in ("slerp", "ties"):
        assert answer(found, tmp_path / name).shape == parents.shape


def test_a_merge_with_itself_answers_like_the_model(family, tmp_path):
    found, folder = family
    run(folder, 'a = model("./a")\nsave slerp(a, a, t=0.5) to "same"', tmp_path / "same")
    assert torch.equal(answer(found, folder / "a"), answer(found, tmp_path / "same"))


def test_each_stack_grows_by_itself(family, tmp_path):
    found, folder = family
    for stack, where in found.stacks.items():
        out = tmp_path / stack
        run(
            folder,
            f'a = model("./a")\nb = model("./b")\n'
            f'save stack(a.layers("{stack}")[0..2], b.layers("{stack}")[1..2], rest=a) to "out"',
            out,
        )
        config = json.loads((out / "config.json").read_text())
        for key in where[:-1]:
            config = config[key]
        assert config[where[-1]] == 3
        tensors, a, b = read_model(out), read_model(folder / "a"), read_model(folder / "b")
        assert all(torch.equal(tensors[name], tensor) for name, tensor in a.items())
        added = {name: tensor for name, tensor in tensors.items() if name not in a}
        assert added
        for name, tensor in added.items():
            assert torch.equal(tensor, b[name.replace(f"{stack}.2.", f"{stack}.1.")])
        answer(found, out)
