"""Write header-only checkpoints of published shapes: sparse files as long as the real ones that take no disk.

    python benchmarks/make_shapes.py llama-3.1-8b llama-3.1-70b mixtral-8x22b deepseek-v3-671b

Each becomes a base and three fine-tunes in benchmarks/shapes/NAME. Every tensor is zero; names, shapes, element types
and the number of files are those of the models on the Hub.
"""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Callable, Iterator
from math import prod
from pathlib import Path

from _paths import BENCHMARKS

SHAPES = BENCHMARKS / "shapes"
MODELS = ("base", "a", "b", "c")
SHARD_BYTES = 5_000_000_000
Shapes = Iterator[tuple[str, tuple[int, ...]]]


def llama(layers: int, hidden: int, intermediate: int, vocab: int, keys: int) -> Shapes:
    """Yield the tensors of a Llama 3."""
    yield "model.embed_tokens.weight", (vocab, hidden)
    for layer in range(layers):
        prefix = f"model.layers.{layer}."
        yield from _attention(prefix, hidden, keys)
        yield prefix + "mlp.gate_proj.weight", (intermediate, hidden)
        yield prefix + "mlp.up_proj.weight", (intermediate, hidden)
        yield prefix + "mlp.down_proj.weight", (hidden, intermediate)
    yield "model.norm.weight", (hidden,)
    yield "lm_head.weight", (vocab, hidden)


def mixtral(layers: int, hidden: int, intermediate: int, vocab: int, keys: int, experts: int) -> Shapes:
    """Yield the tensors of a Mixtral."""
    yield "model.embed_tokens.weight", (vocab, hidden)
    for layer in range(layers):
        prefix = f"model.layers.{layer}."
        yield from _attention(prefix, hidden, keys)
        yield prefix + "block_sparse_moe.gate.weight", (experts, hidden)
        for expert in range(experts):
            inner = f"{prefix}block_sparse_moe.experts.{expert}."
            yield inner + "w1.weight", (intermediate, hidden)
            yield inner + "w2.weight", (hidden, intermediate)
            yield inner + "w3.weight", (intermediate, hidden)
    yield "model.norm.weight", (hidden,)
    yield "lm_head.weight", (vocab, hidden)


def _attention(prefix: str, hidden: int, keys: int) -> Shapes:
    yield prefix + "input_layernorm.weight", (hidden,)
    yield prefix + "self_attn.q_proj.weight", (hidden, hidden)
    yield prefix + "self_attn.k_proj.weight", (keys, hidden)
    yield prefix + "self_attn.v_proj.weight", (keys, hidden)
    yield prefix + "self_attn.o_proj.weight", (hidden, hidden)
    yield prefix + "post_attention_layernorm.weight", (hidden,)


def deepseek() -> Shapes:
    """Yield the tensors of DeepSeek-V3 converted to bfloat16, with a scale beside each matrix as it is published."""
    hidden, expert_width, heads = 7168, 2048, 128
    yield "model.embed_tokens.weight", (129_280, hidden)
    for layer in range(62):
        prefix = f"model.layers.{layer}."
        yield prefix + "input_layernorm.weight", (hidden,)
        yield prefix + "post_attention_layernorm.weight", (hidden,)
        yield from _latent_attention(prefix + "self_attn.", hidden, heads)
        if layer < 3:
            yield from _feed_forward(prefix + "mlp.", hidden, 18_432)
        else:
            yield prefix + "mlp.gate.weight", (256, hidden)
            yield prefix + "mlp.gate.e_score_correction_bias", (256,)
            yield from _feed_forward(prefix + "mlp.shared_experts.", hidden, expert_width)
            for expert in range(256):
                yield from _feed_forward(f"{prefix}mlp.experts.{expert}.", hidden, expert_width)
    # The last layer predicts a second token and has an embedding and a head of its own.
    prefix = "model.layers.61."
    yield prefix + "eh_proj.weight", (hidden, 2 * hidden)
    yield prefix + "enorm.weight", (hidden,)
    yield prefix + "hnorm.weight", (hidden,)
    yield prefix + "embed_tokens.weight", (129_280, hidden)
    yield prefix + "shared_head.norm.weight", (hidden,)
    yield prefix + "shared_head.head.weight", (129_280, hidden)
    yield "model.norm.weight", (hidden,)
    yield "lm_head.weight", (129_280, hidden)


def _latent_attention(prefix: str, hidden: int, heads: int) -> Shapes:
    yield from _scaled(prefix + "q_a_proj.weight", (1536, hidden))
    yield prefix + "q_a_layernorm.weight", (1536,)
    yield from _scaled(prefix + "q_b_proj.weight", (heads * 192, 1536))
    yield from _scaled(prefix + "kv_a_proj_with_mqa.weight", (576, hidden))
    yield prefix + "kv_a_layernorm.weight", (512,)
    yield from _scaled(prefix + "kv_b_proj.weight", (heads * 256, 512))
    yield from _scaled(prefix + "o_proj.weight", (hidden, heads * 128))


def _feed_forward(prefix: str, hidden: int, width: int) -> Shapes:
    yield from _scaled(prefix + "gate_proj.weight", (width, hidden))
    yield from _scaled(prefix + "up_proj.weight", (width, hidden))
    yield from _scaled(prefix + "down_proj.weight", (hidden, width))


def _scaled(name: str, shape: tuple[int, int]) -> Shapes:
    """Yield a matrix and the scales of its blocks of 128 by 128."""
    yield name, shape
    yield f"{name}_scale_inv", (-(-shape[0] // 128), -(-shape[1] // 128))


KINDS: dict[str, Callable[[], Shapes]] = {
    "llama-3.1-8b": lambda: llama(32, 4096, 14_336, 128_256, 1024),
    "llama-3.1-70b": lambda: llama(80, 8192, 28_672, 128_256, 1024),
    "mixtral-8x22b": lambda: mixtral(56, 6144, 16_384, 32_768, 1024, 8),
    "deepseek-v3-671b": deepseek,
}


def make(name: str) -> Path:
    """Write a base and three fine-tunes of one kind, unless they are there; return their folder."""
    folder = SHAPES / name
    for model in MODELS:
        if not (folder / model / "model.safetensors.index.json").exists():
            _write(folder / model, list(KINDS[name]()))
    return folder


def _write(folder: Path, tensors: list[tuple[str, tuple[int, ...]]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    shards = _shards(tensors)
    weight_map = {}
    for number, shard in enumerate(shards, start=1):
        file = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        _write_sparse(folder / file, shard)
        weight_map.update(dict.fromkeys((name for name, _ in shard), file))
    (folder / "config.json").write_text('{"model_type": "shapes", "dtype": "bfloat16"}\n')
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def _shards(tensors: list[tuple[str, tuple[int, ...]]]) -> list[list[tuple[str, tuple[int, ...]]]]:
    shards: list[list[tuple[str, tuple[int, ...]]]] = [[]]
    used = 0
    for name, shape in tensors:
        size = 2 * prod(shape)
        if shards[-1] and used + size > SHARD_BYTES:
            shards.append([])
            used = 0
        shards[-1].append((name, shape))
        used += size
    return shards


def _write_sparse(path: Path, tensors: list[tuple[str, tuple[int, ...]]]) -> None:
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, shape in tensors:
        end = offset + 2 * prod(shape)
        entries[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + offset)


if __name__ == "__main__":
    for chosen in sys.argv[1:] or KINDS:
        print(make(chosen))
