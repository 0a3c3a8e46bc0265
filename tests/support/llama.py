"""Describe a Llama-shaped checkpoint without its weights: tensor names and shapes, config, tokenizer files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

Shape = tuple[int, ...]

THIN = ("input_layernorm", "self_attn.q_proj", "mlp.up_proj")
BITS = {"bfloat16": 16, "float16": 16, "float32": 32}


@dataclass(frozen=True)
class Llama:
    """Hold the sizes that decide every tensor of the architecture.

    A `thin` one has of each layer only its first norm, one matrix of the attention and one of the MLP: what costs a
    merge of tiny models is the number of their tensors. transformers does not load it.
    """

    layers: int = 2
    hidden: int = 32
    intermediate: int = 64
    vocab: int = 64
    heads: int = 4
    kv_heads: int = 2
    dtype: str = "bfloat16"
    tied: bool = False
    thin: bool = False

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.hidden // self.heads

    def shapes(self) -> dict[str, Shape]:
        """Return the shape of every tensor by name, in the order of the network."""
        names: dict[str, Shape] = {"model.embed_tokens.weight": (self.vocab, self.hidden)}
        for index in range(self.layers):
            names |= {f"model.layers.{index}.{suffix}": shape for suffix, shape in self._layer()}
        names["model.norm.weight"] = (self.hidden,)
        return names if self.tied else names | {"lm_head.weight": (self.vocab, self.hidden)}

    def _layer(self) -> Iterator[tuple[str, Shape]]:
        return (kind for kind in self._kinds() if not self.thin or kind[0].removesuffix(".weight") in THIN)

    def _kinds(self) -> Iterator[tuple[str, Shape]]:
        keys = self.kv_heads * self.head_dim
        yield "input_layernorm.weight", (self.hidden,)
        yield "self_attn.q_proj.weight", (self.hidden, self.hidden)
        yield "self_attn.k_proj.weight", (keys, self.hidden)
        yield "self_attn.v_proj.weight", (keys, self.hidden)
        yield "self_attn.o_proj.weight", (self.hidden, self.hidden)
        yield "post_attention_layernorm.weight", (self.hidden,)
        yield "mlp.gate_proj.weight", (self.intermediate, self.hidden)
        yield "mlp.up_proj.weight", (self.intermediate, self.hidden)
        yield "mlp.down_proj.weight", (self.hidden, self.intermediate)

    def nbytes(self, name: str) -> int:
        """Return the size in bytes of one tensor."""
        return count(self.shapes()[name]) * BITS[self.dtype] // 8

    def config(self) -> dict[str, object]:
        """Return the `config.json` that transformers reads."""
        return {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "hidden_size": self.hidden,
            "intermediate_size": self.intermediate,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "head_dim": self.head_dim,
            "vocab_size": self.vocab,
            "max_position_embeddings": 128,
            "rms_norm_eps": 1e-5,
            "hidden_act": "silu",
            "tie_word_embeddings": self.tied,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "dtype": self.dtype,
        }


def count(shape: Shape) -> int:
    """Return the number of elements of a shape."""
    product = 1
    for size in shape:
        product *= size
    return product


def split(model: Llama, shards: int) -> dict[str, tuple[str, ...]]:
    """Return the tensor names of each shard file: consecutive tensors, about equally many bytes in each."""
    if shards == 1:
        return {"model.safetensors": tuple(model.shapes())}
    total = sum(model.nbytes(name) for name in model.shapes())
    parts: list[list[str]] = [[] for _ in range(shards)]
    seen = 0
    for name in model.shapes():
        parts[min(shards - 1, seen * shards // total)].append(name)
        seen += model.nbytes(name)
    return {f"model-{i:05d}-of-{shards:05d}.safetensors": tuple(part) for i, part in enumerate(parts, 1)}


def write_index(folder: Path, model: Llama, files: dict[str, tuple[str, ...]]) -> None:
    """Write `model.safetensors.index.json` where there is more than one shard."""
    if len(files) == 1:
        return
    index = {
        "metadata": {"total_size": sum(model.nbytes(name) for name in model.shapes())},
        "weight_map": {name: file for file, names in files.items() for name in names},
    }
    write_json(folder / "model.safetensors.index.json", index)


def write_config(folder: Path, model: Llama) -> None:
    """Write `config.json` and `generation_config.json`."""
    write_json(folder / "config.json", model.config())
    write_json(folder / "generation_config.json", {"bos_token_id": 1, "eos_token_id": 2})


def write_tokenizer(folder: Path, vocab: int) -> None:
    """Write a word-level tokenizer of exactly `vocab` tokens: `<unk> <s> </s> w3 w4 …`."""
    words = ["<unk>", "<s>", "</s>", *(f"w{i}" for i in range(3, vocab))]
    special = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": i, "content": words[i]} | special for i in range(3)],
        "normalizer": None,
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": None,
        "decoder": None,
        "model": {"type": "WordLevel", "vocab": {word: i for i, word in enumerate(words)}, "unk_token": "<unk>"},
    }
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "unk_token": "<unk>",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "model_max_length": 128,
    }
    write_json(folder / "tokenizer.json", tokenizer)
    write_json(folder / "tokenizer_config.json", settings)


def write_json(path: Path, value: object) -> None:
    """Write a value as indented JSON with a final newline."""
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
