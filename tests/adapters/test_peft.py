"""A model with an adapter is what peft makes of the two, whatever the adapter is made of."""

import warnings
from pathlib import Path

import pytest
import torch
from families import make_family, read_model
from merging import compilation, merged
from peft import LoraConfig, TaskType, get_peft_model
from safetensors.torch import save_file
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    BertConfig,
    BertModel,
    GPT2Config,
    GPT2LMHeadModel,
    GptOssConfig,
    GptOssForCausalLM,
    MixtralConfig,
    MixtralForCausalLM,
    Qwen2MoeConfig,
    Qwen2MoeForCausalLM,
)

from mergegraph.report.tensor_text import tensor_text

BASE = 'base = model("./base")\n'


def adapted(model: nn.Module, out: Path, config: LoraConfig, seed: int = 1) -> dict[str, torch.Tensor]:
    """Write an adapter of random weights for a model, and return what peft makes of both."""
    torch.manual_seed(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = get_peft_model(model, config)
        for name, parameter in found.named_parameters():
            if parameter.requires_grad and "magnitude" not in name:
                parameter.data += torch.randn_like(parameter) * 0.1
            elif "magnitude" in name:
                parameter.data *= 1 + 0.3 * torch.rand_like(parameter)
        found.save_pretrained(out)
        return found.merge_and_unload().state_dict()


def assert_close(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> None:
    assert found.keys() <= wanted.keys()
    apart = {name: float((tensor - wanted[name]).abs().max()) for name, tensor in found.items()}
    assert max(apart.values()) <= 1e-6, apart


def llama(folder: Path) -> AutoModelForCausalLM:
    make_family(folder, models=["base"], dtype="float32", hidden=32, intermediate=64)
    return AutoModelForCausalLM.from_pretrained(folder / "base")


LINEAR = ["q_proj", "k_proj", "up_proj", "down_proj"]
KINDS = {
    "plain": LoraConfig(r=4, lora_alpha=6, target_modules=LINEAR),
    "all linear": LoraConfig(r=7, target_modules="all-linear"),
    "rslora": LoraConfig(r=4, lora_alpha=6, target_modules=LINEAR, use_rslora=True),
    "dora": LoraConfig(r=4, lora_alpha=6, target_modules=LINEAR, use_dora=True),
    "patterns": LoraConfig(
        r=4,
        target_modules=LINEAR,
        rank_pattern={"^model.layers.0.self_attn.q_proj": 2, r"\d\.mlp\.(up|down)_proj": 5, "proj": 3},
        alpha_pattern={"layers.1.self_attn.k_proj": 31, "down_proj": 2.5},
        use_rslora=True,
    ),
    "embeddings": LoraConfig(r=4, target_modules=["embed_tokens", "lm_head", "q_proj"]),
    "embeddings dora": LoraConfig(r=4, target_modules=["embed_tokens", "lm_head"], use_dora=True),
    "modules to save": LoraConfig(r=4, target_modules=LINEAR, modules_to_save=["lm_head", "embed_tokens"]),
    "norms": LoraConfig(r=4, target_modules=LINEAR, modules_to_save=["input_layernorm"]),
    "tokens": LoraConfig(r=4, target_modules=LINEAR, trainable_token_indices=[0, 5, 63]),
    "tokens by name": LoraConfig(r=4, target_modules=LINEAR, trainable_token_indices={"embed_tokens": [7, 3]}),
    "parameters": LoraConfig(r=4, target_modules=[], target_parameters=["self_attn.q_proj.weight"]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_llama(kind, tmp_path):
    wanted = adapted(llama(tmp_path), tmp_path / "adapter", KINDS[kind])
    assert_close(merged(tmp_path, BASE + 'save base + lora("./adapter") to "out"', tmp_path / "out"), wanted)


@pytest.mark.parametrize("dora", [False, True])
@pytest.mark.parametrize("bias", ["none", "all", "lora_only"])
def test_a_gpt2_with_its_transposed_matrices(bias, dora, tmp_path):
    config = GPT2Config(vocab_size=40, n_positions=16, n_embd=16, n_layer=2, n_head=2)
    GPT2LMHeadModel(config).save_pretrained(tmp_path / "base")
    model = GPT2LMHeadModel.from_pretrained(tmp_path / "base")
    lora = LoraConfig(r=3, target_modules=["c_attn", "c_proj"], bias=bias, use_dora=dora, fan_in_fan_out=True)
    wanted = adapted(model, tmp_path / "adapter", lora)
    found = merged(tmp_path, BASE + 'save base + lora("./adapter") to "out"', tmp_path / "out")
    assert_close(found, wanted)
    assert set(found) == set(read_model(tmp_path / "base"))


def test_a_head_of_its_own_on_a_bert_without_one(tmp_path):
    config = BertConfig(
        vocab_size=40, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24, num_labels=3
    )
    BertModel(config).save_pretrained(tmp_path / "base")
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "base", num_labels=3)
    lora = LoraConfig(r=3, target_modules=["query", "dense"], task_type=TaskType.SEQ_CLS, lora_bias=True)
    wanted = adapted(model, tmp_path / "adapter", lora)
    found = merged(tmp_path, BASE + 'save base + lora("./adapter") to "out"', tmp_path / "out")
    assert {"classifier.weight", "classifier.bias"} <= found.keys()
    explained = tensor_text(compilation(tmp_path, BASE + 'save base + lora("./adapter") to "out"'), {"classifier.bias"})
    assert '%1 = lora("./adapter")' in explained
    assert "%2 = 0 + %1" in explained
    assert_close({name if name.startswith("classifier") else f"bert.{name}": x for name, x in found.items()}, wanted)


class Convolutions(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.wide = nn.Conv2d(6, 10, 3)
        self.point = nn.Conv2d(10, 4, 1)
        self.line = nn.Conv1d(4, 8, 5)
        self.block = nn.Conv3d(2, 4, (1, 2, 3))


@pytest.mark.parametrize("dora", [False, True])
def test_convolutions(dora, tmp_path):
    torch.manual_seed(0)
    model = Convolutions()
    (tmp_path / "base").mkdir()
    save_file(model.state_dict(), tmp_path / "base" / "model.safetensors")
    lora = LoraConfig(r=3, target_modules=["wide", "point", "line", "block"], use_dora=dora)
    wanted = adapted(model, tmp_path / "adapter", lora)
    assert_close(merged(tmp_path, BASE + 'save base + lora("./adapter") to "out"', tmp_path / "out"), wanted)


def test_experts(tmp_path):
    config = GptOssConfig(
        vocab_size=40, hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_local_experts=3, head_dim=8,
        num_attention_heads=2, num_key_value_heads=1, num_experts_per_tok=2,
    )  # fmt: skip
    GptOssForCausalLM(config).save_pretrained(tmp_path / "base")
    model = GptOssForCausalLM.from_pretrained(tmp_path / "base")
    lora = LoraConfig(
        r=2,
        target_modules=["q_proj"],
        target_parameters=["mlp.experts.gate_up_proj", "mlp.experts.down_proj"],
        rank_pattern={"experts.gate_up_proj": 3},
    )
    wanted = adapted(model, tmp_path / "adapter", lora)
    assert_close(merged(tmp_path, BASE + 'save base + lora("./adapter") to "out"', tmp_path / "out"), wanted)


@pytest.mark.parametrize("kind", ["mixtral", "qwen"])
def test_experts_that_are_stored_apart(kind, tmp_path):
    """transformers has the matrices of all experts in one parameter, checkpoints one by one and under other names."""
    sizes = {
        "vocab_size": 40, "hidden_size": 16, "intermediate_size": 12, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 2,
    }  # fmt: skip
    if kind == "mixtral":
        MixtralForCausalLM(MixtralConfig(**sizes, num_local_experts=4)).save_pretrained(tmp_path / "base")
    else:
        config = Qwen2MoeConfig(**sizes, num_experts=4, moe_intermediate_size=20, shared_expert_intermediate_size=24)
        Qwen2MoeForCausalLM(config).save_pretrained(tmp_path / "base")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    lora = LoraConfig(
        r=2,
        lora_alpha=5,
        target_modules=["q_proj"],
        target_parameters=["mlp.experts.gate_up_proj", "mlp.experts.down_proj"],
        rank_pattern={"experts.down_proj": 3},
    )
    wanted = adapted(model, tmp_path / "adapter", lora)
    text = BASE + 'save base + lora("./adapter") to "out"'
    found = merged(tmp_path, text, tmp_path / "out")
    assert found.keys() == read_model(tmp_path / "base").keys()
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "out").state_dict()
    assert_close(loaded, wanted)
