"""Write checkpoints that have headers only: their files are as large as they say, and take no space on disk."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path

from llama import Llama, Shape

HIDDEN = 7168
EXPERTS = 256
LAYERS = 61
DENSE = 3
"""How many of the first layers have no experts."""


def write_shapes(folder: Path, shapes: Mapping[str, Shape]) -> Path:
    """Write one sparse safetensors file of bfloat16 tensors of these shapes, all zero."""
    folder.mkdir(parents=True)
    entries, end = {}, 0
    for name, shape in shapes.items():
        begin, end = end, end + 2 * prod(shape)
        entries[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [begin, end]}
    header = json.dumps(entries).encode()
    header += b" " * (-len(header) % 8)
    with (folder / "model.safetensors").open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + end)
    return folder


def deepseek(layers: int = LAYERS, experts: int = EXPERTS) -> dict[str, Shape]:
    """Return the shapes of DeepSeek-V3, 671 billion parameters with all layers and experts."""
    shapes: dict[str, Shape] = {"model.embed_tokens.weight": (129280, HIDDEN)}
    for layer in range(layers):
        mixed = _experts(experts) if layer >= DENSE else _dense("mlp", 18432)
        shapes |= {f"model.layers.{layer}.{name}": shape for part in (_attention(), mixed) for name, shape in part}
    return shapes | {"model.norm.weight": (HIDDEN,), "lm_head.weight": (129280, HIDDEN)}


def _attention() -> Iterator[tuple[str, Shape]]:
    yield "self_attn.q_a_proj.weight", (1536, HIDDEN)
    yield "self_attn.q_a_layernorm.weight", (1536,)
    yield "self_attn.q_b_proj.weight", (24576, 1536)
    yield "self_attn.kv_a_proj_with_mqa.weight", (576, HIDDEN)
    yield "self_attn.kv_a_layernorm.weight", (512,)
    yield "self_attn.kv_b_proj.weight", (32768, 512)
    yield "self_attn.o_proj.weight", (HIDDEN, 16384)
    yield "input_layernorm.weight", (HIDDEN,)
    yield "post_attention_layernorm.weight", (HIDDEN,)


def _experts(experts: int) -> Iterator[tuple[str, Shape]]:
    yield "mlp.gate.weight", (EXPERTS, HIDDEN)
    yield "mlp.gate.e_score_correction_bias", (EXPERTS,)
    for name in [*(f"mlp.experts.{i}" for i in range(experts)), "mlp.shared_experts"]:
        yield from _dense(name, 2048)


def _dense(name: str, width: int) -> Iterator[tuple[str, Shape]]:
    yield f"{name}.gate_proj.weight", (width, HIDDEN)
    yield f"{name}.up_proj.weight", (width, HIDDEN)
    yield f"{name}.down_proj.weight", (HIDDEN, width)


def llama() -> dict[str, Shape]:
    """Return the shapes of Llama 3.1 with 8 billion parameters."""
    return Llama(layers=32, hidden=4096, intermediate=14336, vocab=128256, heads=32, kv_heads=8).shapes()
