"""What changes in `config.json`, and that nothing else does."""

import json

import pytest

from mergegraph.diagnostics import render
from mergegraph.write.config import Stack, merged_config

LLAMA = {
    "_name_or_path": "somewhere/else",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 64,
    "num_hidden_layers": 12,
    "max_window_layers": 12,
    "num_attention_heads": 12,
    "tie_word_embeddings": False,
    "torch_dtype": "float16",
    "unknown_key": {"kept": [1, 2, None]},
    "vocab_size": 100,
    "rope_theta": 1e6,
}


def of(donor, *numbers):
    return tuple((donor, number) for number in numbers)


def changed(donor, **options):
    """Return the merged configuration, checking that keys keep their order, and the warnings as text."""
    merged = merged_config(donor, **{"dtype": "bfloat16"} | options)
    config = json.loads(merged.data)
    kept = [key for key in config if key in donor]
    assert kept == [key for key in donor if key in config]
    return config, "\n".join(map(render, merged.warnings))


def test_only_the_dtype_changes_when_only_the_dtype_changes():
    config, warnings = changed(LLAMA)
    assert config == LLAMA | {"torch_dtype": "bfloat16"}
    assert warnings == ""


def test_the_file_is_laid_out_as_transformers_lays_it_out():
    merged = merged_config({"b": [1], "dtype": "x"}, dtype="float32")
    assert merged.data == b'{\n  "b": [\n    1\n  ],\n  "dtype": "float32"\n}\n'


@pytest.mark.parametrize(
    ("donor", "result"),
    [
        ({"torch_dtype": "float32"}, {"torch_dtype": "bfloat16"}),
        ({"dtype": "float32"}, {"dtype": "bfloat16"}),
        ({"torch_dtype": "float32", "dtype": None}, {"torch_dtype": "bfloat16", "dtype": "bfloat16"}),
        ({}, {"dtype": "bfloat16"}),
        (
            {"text_config": {"torch_dtype": "float32"}, "vision_config": {}},
            {"text_config": {"torch_dtype": "bfloat16"}, "vision_config": {}, "dtype": "bfloat16"},
        ),
    ],
)
def test_the_dtype_is_said_where_the_donor_says_it(donor, result):
    assert changed(donor)[0] == result


def test_remote_code_and_quantization_are_dropped_wherever_they_are():
    donor = {
        "auto_map": {"AutoConfig": "evil.Config"},
        "quantization_config": {"bits": 4},
        "text_config": {"auto_map": {}, "x": 1, "deep": {"quantization_config": 1}},
        "dtype": "bfloat16",
    }
    assert changed(donor)[0] == {"text_config": {"x": 1, "deep": {}}, "dtype": "bfloat16"}


def test_the_donor_is_not_changed():
    donor = json.loads(
        json.dumps(LLAMA | {"layer_types": ["full"] * 12, "text_config": {"dtype": "x", "vocab_size": 1}})
    )
    before = json.dumps(donor)
    changed(donor, stacks=[Stack("model.layers", 12, of(donor, 0, 0))], tied=True, vocab_size=7)
    assert json.dumps(donor) == before


@pytest.mark.parametrize(
    "key", ["num_hidden_layers", "n_layer", "num_layers", "n_layers", "depth", "num_blocks", "layers"]
)
def test_the_number_of_layers_is_found_by_its_name_and_value(key):
    donor = {key: 4, "num_attention_heads": 4, "num_nextn_predict_layers": 4, "n_layer_groups": 4, "x": 4.0}
    config, warnings = changed(donor, stacks=[Stack("h", 4, of(donor, 0, 1, 2, 3, 3, 2))])
    assert config == donor | {key: 6, "dtype": "bfloat16"}
    assert warnings == ""


def test_lists_per_layer_follow_the_layers_to_their_models():
    donor = {
        "num_hidden_layers": 10,
        "architectures": ["x"] * 10,
        "eos_token_id": list(range(10)),
        "layer_types": [f"a{i}" for i in range(10)],
        "intermediate_size": [100 + i for i in range(10)],
        "hybrid_override_pattern": "ABCDEFGHIJ",
        "mlp_only_layers": [0, 3, 9],
        "moe_layers": list(range(10)),
        "no_rope_layers": [1, 1, 1, 0, 1, 1, 1, 0, 1, 1],
        "nine": list(range(9)),
        "dtype": "bfloat16",
    }
    other = donor | {
        "layer_types": [f"b{i}" for i in range(20)],
        "intermediate_size": [200 + i for i in range(20)],
        "hybrid_override_pattern": "abcdefghijklmnopqrst",
        "no_rope_layers": [7] * 20,
    }
    layers = (*of(donor, 0, 9), *of(other, 3, 19))
    config, warnings = changed(donor, stacks=[Stack("model.layers", 10, layers)])
    assert warnings == ""
    assert config == donor | {
        "num_hidden_layers": 4,
        "layer_types": ["a0", "a9", "b3", "b19"],
        "intermediate_size": [100, 109, 203, 219],
        "hybrid_override_pattern": "AJdt",
        "mlp_only_layers": [0, 1, 2],
        "moe_layers": [0, 1, 2],
        "no_rope_layers": [1, 1, 7, 7],
    }


def test_in_a_small_model_a_list_per_layer_needs_the_name_of_one():
    donor = {"num_hidden_layers": 3, "mrope_section": [16, 24, 24], "layer_types": ["a", "b", "c"], "dtype": "bfloat16"}
    config, _ = changed(donor, stacks=[Stack("layers", 3, of(donor, 2, 0))])
    assert config == donor | {"num_hidden_layers": 2, "layer_types": ["c", "a"]}


def test_layers_in_another_order_keep_their_number():
    donor = {"num_hidden_layers": 3, "layer_types": ["a", "b", "c"], "dtype": "bfloat16"}
    config, _ = changed(donor, stacks=[Stack("layers", 3, of(donor, 2, 1, 0))])
    assert config == donor | {"layer_types": ["c", "b", "a"]}


def test_a_list_that_a_parent_lacks_is_left_out_with_a_warning():
    donor = {"num_hidden_layers": 2, "layer_types": ["a", "b"], "dtype": "bfloat16"}
    layers = (*of(donor, 0, 1), *of({"num_hidden_layers": 2}, 1))
    config, warnings = changed(donor, stacks=[Stack("model.layers", 2, layers)])
    assert config == {"num_hidden_layers": 3, "dtype": "bfloat16"}
    assert warnings == (
        "warning[MG631]: `layer_types` of `config.json` was left out: not every model gives it for the layers of "
        "`model.layers` that it contributes\n"
        "  = help: set it in the output's `config.json` if the model needs it"
    )


def test_a_number_of_layers_that_is_not_there_is_a_warning():
    config, warnings = changed({"d_model": 4}, stacks=[Stack("a\x1b.layers", 4, of({}, 0, 1))])
    assert config == {"d_model": 4, "dtype": "bfloat16"}
    assert warnings == (
        "warning[MG630]: the donor's `config.json` gives no number of layers for `a\\x1b.layers`: "
        "it was 4, the output has 2\n"
        "  = help: set it in the output's `config.json` before loading the model"
    )


@pytest.mark.parametrize(
    ("prefix", "result"),
    [
        ("model.encoder.layers", {"encoder_layers": 5, "decoder_layers": 4, "num_hidden_layers": 5}),
        ("model.decoder.layers", {"encoder_layers": 4, "decoder_layers": 5, "num_hidden_layers": 4}),
    ],
)
def test_encoder_and_decoder_have_numbers_of_their_own(prefix, result):
    donor = {"encoder_layers": 4, "decoder_layers": 4, "num_hidden_layers": 4, "dtype": "bfloat16"}
    assert changed(donor, stacks=[Stack(prefix, 4, of(donor, 0, 1, 2, 3, 3))])[0] == donor | result


def test_the_decoder_of_t5_is_not_its_encoder():
    donor = {"num_layers": 6, "num_decoder_layers": 6, "dtype": "bfloat16"}
    stacks = [
        Stack("encoder.block", 6, of(donor, *range(4))),
        Stack("decoder.block", 6, of(donor, *range(3))),
    ]
    assert changed(donor, stacks=stacks)[0] == donor | {"num_layers": 4, "num_decoder_layers": 3}


def test_a_decoder_without_an_encoder_has_the_general_number():
    donor = {"num_hidden_layers": 6, "dtype": "bfloat16"}
    stack = Stack("model.decoder.layers", 6, of(donor, 0))
    assert changed(donor, stacks=[stack])[0]["num_hidden_layers"] == 1


@pytest.mark.parametrize(
    ("prefix", "section"),
    [
        ("language_model.model.layers", "text_config"),
        ("model.language_model.layers", "text_config"),
        ("model.layers", "text_config"),
        ("model.vision_tower.vision_model.encoder.layers", "vision_config"),
        ("visual.blocks", "vision_config"),
        ("audio_tower.layers", "audio_config"),
    ],
)
def test_each_stack_has_its_own_nested_configuration(prefix, section):
    donor = {
        "vision_config": {"depth": 12, "dtype": "float32"},
        "audio_config": {"encoder_layers": 12},
        "text_config": {"num_hidden_layers": 12, "layer_types": ["a"] * 12},
        "dtype": "float32",
    }
    result = json.loads(json.dumps(donor).replace("float32", "bfloat16"))
    numbers = {"vision_config": "depth", "audio_config": "encoder_layers", "text_config": "num_hidden_layers"}
    result[section][numbers[section]] = 2
    if section == "text_config":
        result[section]["layer_types"] = ["a", "a"]
    config, warnings = changed(donor, stacks=[Stack(prefix, 12, of(donor, 3, 4))])
    assert config == result
    assert warnings == ""


def test_the_layers_of_images_are_never_taken_for_those_of_text():
    donor = {"vision_config": {"num_hidden_layers": 12}, "text_config": {}, "dtype": "bfloat16"}
    config, warnings = changed(donor, stacks=[Stack("language_model.layers", 12, of(donor, 0))])
    assert config == donor
    assert "MG630" in warnings


def test_an_encoder_and_a_decoder_may_be_nested_without_a_suffix():
    donor = {"encoder": {"num_hidden_layers": 4}, "decoder": {"num_hidden_layers": 4}, "dtype": "bfloat16"}
    config, _ = changed(donor, stacks=[Stack("model.decoder.layers", 4, of(donor, 0, 1))])
    assert config == donor | {"decoder": {"num_hidden_layers": 2}}


@pytest.mark.parametrize(
    ("donor", "tied", "result"),
    [
        ({"tie_word_embeddings": True}, False, {"tie_word_embeddings": False}),
        ({}, True, {"tie_word_embeddings": True}),
        ({"tie_word_embeddings": True}, None, {"tie_word_embeddings": True}),
        ({}, None, {}),
        (
            {
                "tie_word_embeddings": True,
                "text_config": {"tie_word_embeddings": True},
                "vision_config": {"tie_word_embeddings": True},
            },
            False,
            {
                "tie_word_embeddings": False,
                "text_config": {"tie_word_embeddings": False},
                "vision_config": {"tie_word_embeddings": True},
            },
        ),
    ],
)
def test_tying_is_made_true(donor, tied, result):
    assert changed(donor | {"dtype": "bfloat16"}, tied=tied)[0] == result | {"dtype": "bfloat16"}


def test_the_vocabulary_size_is_made_true_where_it_is_given():
    assert changed(LLAMA, vocab_size=120)[0] == LLAMA | {"torch_dtype": "bfloat16", "vocab_size": 120}
    nested = {"text_config": {"vocab_size": 5}, "vision_config": {"vocab_size": 6}, "dtype": "bfloat16"}
    assert changed(nested, vocab_size=9)[0] == nested | {"text_config": {"vocab_size": 9}}
    assert changed({"dtype": "bfloat16"}, vocab_size=9)[0] == {"dtype": "bfloat16"}
