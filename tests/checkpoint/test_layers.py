"""Layers found from names alone: real architectures' names, shapes that are no layers, and properties."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mergegraph.checkpoint.layers import LayerName, Stack, find_stacks, natural_key, rename, split_layer


def _names(*patterns: str) -> list[str]:
    """Expand `a.{0..3}.w` into one name for every number."""
    names: list[str] = []
    for pattern in patterns:
        pieces = pattern.replace("}", "{").split("{")
        ranges = [range(int(p.split("..")[0]), int(p.split("..")[1]) + 1) for p in pieces[1::2]]
        for numbers in product(*ranges):
            fills = iter(map(str, numbers))
            names.append("".join(next(fills) if i % 2 else piece for i, piece in enumerate(pieces)))
    return names


LLAMA = _names(
    "model.embed_tokens.weight", "model.layers.{0..3}.self_attn.q_proj.weight", "model.norm.weight", "lm_head.weight"
)
GPT2 = _names("wte.weight", "h.{0..11}.attn.c_attn.weight", "h.{0..11}.ln_1.bias", "ln_f.weight")
MAMBA = _names(
    "backbone.embedding.weight", "backbone.layers.{0..23}.mixer.A_log", "backbone.layers.{0..23}.norm.weight"
)
BERT = _names("embeddings.word_embeddings.weight", "encoder.layer.{0..5}.output.dense.weight", "pooler.dense.weight")
DEEPSEEK = _names(
    "model.layers.{0..4}.input_layernorm.weight",
    "model.layers.0.mlp.gate_proj.weight",
    "model.layers.{1..4}.mlp.experts.{0..7}.gate_proj.weight",
)
MIXTRAL = _names("model.layers.{0..1}.block_sparse_moe.experts.{0..7}.w1.weight", "model.layers.{0..1}.norm.weight")
T5 = _names(
    "shared.weight",
    "encoder.block.{0..5}.layer.{0..1}.layer_norm.weight",
    "decoder.block.{0..5}.layer.{0..2}.layer_norm.weight",
)
CLIP = _names(
    "vision_model.encoder.layers.{0..11}.mlp.fc1.weight",
    "vision_model.encoder.layers.{0..11}.mlp.fc2.weight",
    "text_model.encoder.layers.{0..7}.mlp.fc1.weight",
)
WHISPER = _names(
    "model.encoder.conv{1..2}.weight",
    "model.encoder.layers.{0..3}.fc1.weight",
    "model.decoder.layers.{0..3}.fc1.weight",
    "model.decoder.layers.0.fc2.weight",
)
QWEN_VL = _names(
    "visual.blocks.{0..2}.attn.qkv.weight", "visual.merger.mlp.0.weight", "visual.merger.mlp.2.weight",
    "model.layers.{0..4}.mlp.up_proj.weight",
)  # fmt: skip
ZAMBA = _names(
    "model.layers.0.mamba.in_proj.weight", "model.layers.2.mamba.in_proj.weight",
    "model.layers.1.linear.weight", "model.layers.3.linear.weight",
)  # fmt: skip
SENTENCE_TRANSFORMERS = _names("0.auto_model.encoder.layer.{0..5}.output.dense.weight", "2.linear.weight")
UNLIKE_SEQUENCE = _names("0.encoder.layer.{0..3}.dense.weight", "1.linear.weight")
ALEXNET = _names("features.0.weight", "features.3.weight", "features.6.weight", "classifier.1.weight")
RESNET = _names("layer{1..2}.{0..1}.conv1.weight", "layer1.2.conv1.weight", "layer1.0.downsample.{0..1}.weight")
PERCEPTRON = _names("layers.{0..2}.weight", "layers.{0..2}.bias")
MUSICGEN = _names(
    "model.decoder.layers.{0..1}.fc1.weight", "lm_heads.{0..3}.weight", "model.decoder.embed_tokens.{0..3}.weight"
)
PARAMETER_LIST = _names("scales.{0..3}", "embeddings.0")
ONE_LAYER = _names("model.layers.0.mlp.experts.{0..3}.w1.weight", "model.norm.weight")


@pytest.mark.parametrize(
    ("names", "stacks"),
    [
        (LLAMA, [Stack("model.layers", 4)]),
        (GPT2, [Stack("h", 12)]),
        (MAMBA, [Stack("backbone.layers", 24)]),
        (BERT, [Stack("encoder.layer", 6)]),
        (DEEPSEEK, [Stack("model.layers", 5)]),
        (MIXTRAL, [Stack("model.layers", 2)]),
        (T5, [Stack("decoder.block", 6), Stack("encoder.block", 6)]),
        (CLIP, [Stack("vision_model.encoder.layers", 12), Stack("text_model.encoder.layers", 8)]),
        (WHISPER, [Stack("model.decoder.layers", 4), Stack("model.encoder.layers", 4)]),
        (QWEN_VL, [Stack("model.layers", 5), Stack("visual.blocks", 3)]),
        (ZAMBA, [Stack("model.layers", 4)]),
        (SENTENCE_TRANSFORMERS, [Stack("0.auto_model.encoder.layer", 6)]),
        (UNLIKE_SEQUENCE, [Stack("0.encoder.layer", 4)]),
        (ALEXNET, []),
        (RESNET, [Stack("layer1", 3), Stack("layer2", 2)]),
        (PERCEPTRON, [Stack("layers", 3)]),
        (MUSICGEN, [Stack("model.decoder.layers", 2)]),
        (PARAMETER_LIST, []),
        (ONE_LAYER, [Stack("model.layers", 1)]),
        (["model.layers.00.x.w", "model.layers.01.x.w"], []),
        (["model.layers.0.x.w", "model.layers.2.x.w"], []),
        (["layers.1.x.w", "layers.2.x.w"], []),
        ([".0.x.w", ".1.x.w", "a..0.x.w", "a..1.x.w", "a.0.", "a.1."], []),
        (["layers.٣.x.w", "layers.1234567.x.w"], []),
        ([], []),
    ],
)  # fmt: skip
def test_stacks(names, stacks):
    assert list(find_stacks(names)) == stacks
    assert list(find_stacks(reversed(names))) == stacks


def test_layers_of_a_list_with_a_hole_are_looked_for_inside_it():
    assert find_stacks(_names("towers.1.layers.{0..2}.fc.weight", "towers.4.layers.{0..1}.fc.weight")) == (
        Stack("towers.1.layers", 3),
        Stack("towers.4.layers", 2),
    )


def test_splitting_takes_the_outermost_stack():
    name = "model.layers.3.mlp.experts.7.w1.weight"
    layer = LayerName("model.layers", 3, "mlp.experts.7.w1.weight")
    assert split_layer(name, {"model.layers"}) == layer
    assert split_layer(name, {"model.layers", "model.layers.3.mlp.experts"}) == layer
    assert split_layer(name, {"model.layers.3.mlp.experts"}) == LayerName("model.layers.3.mlp.experts", 7, "w1.weight")
    assert split_layer(name, {"model", "layers"}) is None
    assert split_layer("model.layers.3", {"model.layers"}) is None
    assert split_layer("0.weight", {""}) == LayerName("", 0, "weight")


def test_renaming():
    assert rename(LayerName("model.layers", 12, "mlp.up_proj.weight")) == "model.layers.12.mlp.up_proj.weight"
    assert rename(LayerName("", 0, "weight")) == "0.weight"


def test_natural_order_counts():
    names = ["b", "layers.10.w", "layers.9.w", "layers.9.a", "a.01", "a.1", "a." + "9" * 500]
    assert sorted(names, key=natural_key) == [
        "a.1", "a.01", "a." + "9" * 500, "b", "layers.9.a", "layers.9.w", "layers.10.w"
    ]  # fmt: skip


parts = st.sampled_from(["a", "layers", "w", "", "0", "1", "2", "10", "00", "²"])
tensor_names = st.lists(parts, min_size=1, max_size=7).map(".".join)


@given(st.sets(tensor_names, max_size=30))
def test_every_stack_has_each_of_its_layers_and_its_names_come_back(names):
    stacks = find_stacks(names)
    prefixes = {stack.prefix for stack in stacks}
    split = {name: layer for name in names if (layer := split_layer(name, prefixes))}
    assert all(rename(layer) == name for name, layer in split.items())
    for stack in stacks:
        assert {layer.index for layer in split.values() if layer.prefix == stack.prefix} == set(range(stack.count))
    assert not any(split_layer(prefix + ".0.x", prefixes - {prefix}) for prefix in prefixes)


@given(
    st.lists(st.sampled_from(["model.layers", "h", "encoder.block"]), min_size=1, max_size=3, unique=True),
    st.integers(2, 30),
    st.lists(st.from_regex(r"[a-z_]{1,8}\.(weight|bias|experts\.[0-9]\.w)", fullmatch=True), min_size=1, max_size=4),
)
def test_layers_that_share_a_suffix_are_found_whatever_else_they_hold(prefixes, count, suffixes):
    names = [f"{prefix}.{i}.norm.weight" for prefix in prefixes for i in range(count)]
    names += [f"{prefix}.{i % count}.{suffix}" for prefix in prefixes for i, suffix in enumerate(suffixes)]
    assert {(stack.prefix, stack.count) for stack in find_stacks([*names, "head.weight"])} == {
        (prefix, count) for prefix in prefixes
    }
