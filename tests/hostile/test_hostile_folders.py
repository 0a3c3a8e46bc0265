"""One malformed model folder a function: indexes that lie, links that lead away, files that are none."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from checkpoint_bytes import REST, entry, model_refusal, safetensors

from mergegraph.checkpoint.checkpoint import open_checkpoint
from mergegraph.checkpoint.index import is_shard_name
from mergegraph.diagnostics import render

INDEX = "\n  --> …/m/model.safetensors.index.json"
ONE, TWO = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A good model of two shards of one tensor each."""
    folder = tmp_path / "m"
    folder.mkdir()
    (folder / ONE).write_bytes(safetensors({"a": entry(0, 4)}, b"1234"))
    (folder / TWO).write_bytes(safetensors({"b": entry(0, 4)}, b"5678"))
    (folder / "config.json").write_text('{"model_type": "toy"}')
    _index(folder, {"a": ONE, "b": TWO})
    return folder


def _index(folder: Path, weight_map: object, **metadata: object) -> None:
    content = {"metadata": metadata, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(content))


def test_the_folder_is_good_before_it_is_spoiled(folder, tmp_path):
    checkpoint = open_checkpoint("./m", relative_to=tmp_path)
    assert list(checkpoint.tensors) == ["a", "b"]
    assert checkpoint.warnings == ()


@pytest.mark.parametrize(
    ("shard", "shown"),
    [
        ("../other.safetensors", "../other.safetensors"),
        ("/etc/w.safetensors", "/etc/w.safetensors"),
        ("sub/w.safetensors", "sub/w.safetensors"),
        ("C:w.safetensors", "C:w.safetensors"),
        ("C:\\w.safetensors", "C:\\w.safetensors"),
        ("\\\\host\\share\\w.safetensors", "\\\\host\\share\\w.safetensors"),
        ("w.bin", "w.bin"),
        ("w.safetensors\0", "w.safetensors\\x00"),
        ("a\nb.safetensors", "a\\nb.safetensors"),
        ("w.SAFETENSORS", "w.SAFETENSORS"),
        (".safetensors", ".safetensors"),
        ("nul.safetensors", "nul.safetensors"),
        ("com1 .x.safetensors", "com1 .x.safetensors"),
        ("x" * 300 + ".safetensors", "x" * 120 + "…"),
        ("", ""),
    ],
)
def test_index_that_names_something_else_than_a_shard_beside_it(folder, tmp_path, shard, shown):
    assert not is_shard_name(shard)
    _index(folder, {"a": ONE, "b": shard})
    assert model_refusal(tmp_path) == (
        f"error[MG514]: the index names shards that are no `.safetensors` file beside it: `{shown}`" + INDEX
    )


def test_six_bad_shard_names_are_listed_up_to_five(folder, tmp_path):
    _index(folder, {str(i): f"{i}.bin" for i in range(7)})
    assert "`0.bin`, `1.bin`, `2.bin`, `3.bin`, `4.bin` and 2 more" in model_refusal(tmp_path)


@pytest.mark.parametrize("content", [{}, {"weight_map": []}, {"weight_map": {"a": 1}}, {"weight_map": None}])
def test_index_without_a_map(folder, tmp_path, content):
    (folder / "model.safetensors.index.json").write_text(json.dumps(content))
    assert model_refusal(tmp_path) == (
        "error[MG513]: the index has no `weight_map` from tensor names to file names" + INDEX
    )


def test_index_that_gives_a_tensor_twice(folder, tmp_path):
    raw = f'{{"weight_map": {{"a": "{ONE}", "a": "{TWO}"}}}}'
    (folder / "model.safetensors.index.json").write_text(raw)
    assert model_refusal(tmp_path) == "error[MG507]: the index gives `a` twice" + INDEX


def test_index_with_a_name_of_a_megabyte(folder, tmp_path):
    _index(folder, {"a" * 1_000_000: ONE})
    assert model_refusal(tmp_path) == (
        "error[MG505]: a tensor's name has 1,000,000 characters; at most 1,024 are read" + INDEX
    )


def test_index_that_nests_deep(folder, tmp_path):
    raw = '{"weight_map": {}, "metadata": ' + "[" * 70 + "]" * 70 + "}"
    (folder / "model.safetensors.index.json").write_text(raw)
    assert model_refusal(tmp_path) == "error[MG506]: the index nests too deep" + INDEX


def test_index_too_long(folder, tmp_path):
    os.truncate(folder / "model.safetensors.index.json", 100_000_001)
    assert model_refusal(tmp_path) == (
        "error[MG505]: the index is 100,000,001 bytes long; at most 100,000,000 are read" + INDEX
    )


def test_missing_shards(folder, tmp_path):
    (folder / TWO).unlink()
    assert model_refusal(tmp_path) == (
        f"error[MG515]: 1 shard missing: `{TWO}`\n  --> …/m\n  = help: copy or download the rest of the model"
    )


def test_missing_shards_of_a_folder_without_an_index(folder, tmp_path):
    (folder / "model.safetensors.index.json").unlink()
    (folder / TWO).unlink()
    assert model_refusal(tmp_path).startswith(f"error[MG515]: 1 shard missing: `{TWO}`\n")


def test_series_of_99999_shards_is_listed_up_to_five(folder, tmp_path):
    (folder / "model.safetensors.index.json").unlink()
    (folder / "w-00001-of-99999.safetensors").write_bytes(safetensors({}))
    assert model_refusal(tmp_path).splitlines()[0].endswith("`w-00006-of-99999.safetensors` and 99993 more")


def test_missing_doubled_and_extra_tensors_at_once(folder, tmp_path):
    both = safetensors({"b": entry(0, 4), "extra": entry(4, 8)}, bytes(8))
    (folder / ONE).write_bytes(both)
    assert model_refusal(tmp_path) == (
        "error[MG518]: 1 tensor in more than one file: `b`\n  --> …/m\n"
        "  = help: remove the files that are too many\n\n"
        "error[MG516]: 1 tensor not in the shard that the index names: `a`" + INDEX + f"\n  = help: {REST}\n\n"
        "error[MG517]: 1 tensor of the shards not in the index: `extra`" + INDEX + f"\n  = help: {REST}"
    )


@pytest.mark.parametrize("total", [7, -1, "8", 8.5, True, [8], 10**4000])
def test_lies_in_total_size_only_warn(folder, tmp_path, total):
    _index(folder, {"a": ONE, "b": TWO}, total_size=total)
    (found,) = open_checkpoint("./m", relative_to=tmp_path).warnings
    shown = str(total) if len(str(total)) < 120 else str(total)[:120] + "…"
    assert (found.code, found.severity, found.place) == (
        "MG519",
        "warning",
        str(folder / "model.safetensors.index.json"),
    )
    assert found.message == f"the index gives a total size of `{shown}`; the tensors have 8 bytes"


def test_two_bad_shards_are_reported_together(folder, tmp_path):
    (folder / ONE).write_bytes(b"")
    (folder / TWO).write_bytes(safetensors({"b": entry(0, 4)}, b"123"))
    said = model_refusal(tmp_path)
    assert "error[MG504]" in said
    assert "error[MG512]" in said


def test_tensor_in_two_files_without_an_index(folder, tmp_path):
    (folder / "model.safetensors.index.json").unlink()
    (folder / "copy.safetensors").write_bytes((folder / ONE).read_bytes())
    assert model_refusal(tmp_path) == "error[MG518]: 1 tensor in more than one file: `a`\n  --> …/m"


def test_link_out_of_the_folder(folder, tmp_path):
    (folder / ONE).rename(tmp_path / "outside.safetensors")
    (folder / ONE).symlink_to("../outside.safetensors")
    assert model_refusal(tmp_path) == (
        "error[MG520]: this link leads out of the model's folder\n"
        f"  --> …/m/{ONE}\n"
        "  = help: put the file itself there, or name the folder that the link leads to"
    )


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "1_Pooling", "model.safetensors.index.json"])
def test_link_to_a_secret(folder, tmp_path, name):
    (tmp_path / "secret").mkdir()
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(tmp_path / "secret")
    assert model_refusal(tmp_path).startswith("error[MG520]: this link leads out of the model's folder")


def test_loop_of_links(folder, tmp_path):
    (folder / ONE).unlink()
    (folder / ONE).symlink_to(ONE)
    assert model_refusal(tmp_path) == f"error[MG520]: the links lead in a circle\n  --> …/m/{ONE}"


def test_folder_that_is_a_loop_of_links(tmp_path):
    (tmp_path / "m").symlink_to("m")
    assert model_refusal(tmp_path) == "error[MG520]: the links lead in a circle\n  --> …/m"


def test_link_inside_the_folder_is_followed(folder, tmp_path):
    (folder / ONE).rename(folder / "real")
    (folder / ONE).symlink_to("real")
    assert list(open_checkpoint("./m", relative_to=tmp_path).tensors) == ["a", "b"]


def test_links_of_the_hub_cache_are_followed_and_no_others(folder, tmp_path):
    cache = tmp_path / "hub" / "models--org--toy"
    (cache / "blobs").mkdir(parents=True)
    (cache / "snapshots").mkdir()
    for file in (ONE, TWO):
        (folder / file).rename(cache / "blobs" / file)
        (folder / file).symlink_to(f"../../blobs/{file}")
    folder.rename(cache / "snapshots" / "0123abc")
    assert open_checkpoint(str(cache / "snapshots/0123abc"), relative_to=tmp_path).stacks == ()
    (cache / "snapshots" / "0123abc" / "tokenizer.json").symlink_to("../../../../m.txt")
    (tmp_path / "m.txt").write_text("")
    assert model_refusal(tmp_path, str(cache / "snapshots/0123abc")).startswith("error[MG520]")


def test_shard_that_is_a_directory(folder, tmp_path):
    (folder / ONE).unlink()
    (folder / ONE).mkdir()
    assert model_refusal(tmp_path) == f"error[MG502]: this is a directory, not a file\n  --> …/m/{ONE}"


def test_configuration_that_is_a_pipe(folder, tmp_path):
    (folder / "config.json").unlink()
    os.mkfifo(folder / "config.json")
    assert model_refusal(tmp_path) == "error[MG502]: this is a named pipe, not a file\n  --> …/m/config.json"


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "error[MG506]: the configuration is not JSON at character 0"),
        (b"[]", "error[MG506]: the configuration is not a JSON object"),
        (b"\xef\xbb\xbf{}", "error[MG506]: the configuration is not JSON at character 0"),
        (b'{"a": 1, "a": 2}', "error[MG507]: the configuration gives `a` twice"),
        (b'{"a": {"b": 1, "b": 2}}', "error[MG507]: the configuration gives `b` twice"),
        (b'{"a":' * 65 + b"1" + b"}" * 65, "error[MG506]: the configuration nests too deep"),
        (b'{"a":' + b"[" * 200_000, "error[MG506]: the configuration nests too deep"),
        (b'{"a": "\\udfff"}', "error[MG506]: the configuration has text that is not Unicode: `\\udfff`"),
        (b" " * 16_000_001, "error[MG505]: the configuration is 16,000,001 bytes long; at most 16,000,000 are read"),
    ],
    ids=["empty", "list", "bom", "twice", "twice inside", "depth", "more depth", "surrogate", "long"],
)
def test_configuration_that_is_broken(folder, tmp_path, raw, said):
    (folder / "config.json").write_bytes(raw)
    assert model_refusal(tmp_path) == said + "\n  --> …/m/config.json"


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "consolidated.00.pth", "model.Q4_K_M.gguf"])
def test_other_formats_are_not_opened(tmp_path, name):
    folder = tmp_path / "m"
    folder.mkdir()
    os.mkfifo(folder / name)
    said = (
        "\n  = help: convert the weights to safetensors first; other formats are not opened, as reading a pickle can "
        "run code"
    )
    assert model_refusal(tmp_path) == f"error[MG522]: the weights are not in safetensors: `{name}`\n  --> …/m" + said
    assert model_refusal(tmp_path, f"./m/{name}") == (
        f"error[MG522]: this file is not in safetensors\n  --> …/m/{name}" + said
    )


def test_adapter(tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "adapter_model.safetensors").write_bytes(safetensors({}))
    assert model_refusal(tmp_path) == (
        "error[MG521]: this is an adapter, not a model\n"
        "  --> …/m\n"
        "  = help: add it to the model that it was trained on: `base + lora(…)`"
    )


def test_folder_of_folders(tmp_path):
    for name in ("unet", "vae", "scheduler"):
        (tmp_path / "m" / name).mkdir(parents=True)
    (tmp_path / "m" / "unet" / "w.safetensors").write_bytes(safetensors({}))
    assert model_refusal(tmp_path) == (
        "error[MG521]: there are no `.safetensors` files in this folder\n  --> …/m\n"
        "  = help: there are weights in `unet`: name the folder that you mean"
    )


def test_empty_folder(tmp_path):
    (tmp_path / "m").mkdir()
    assert model_refusal(tmp_path) == (
        "error[MG521]: there are no `.safetensors` files in this folder\n  --> …/m\n"
        "  = help: name the folder that holds the model's `.safetensors` files"
    )


def test_two_indexes(folder, tmp_path):
    index = folder / "model.safetensors.index.json"
    index.rename(folder / "model.fp16.safetensors.index.json")
    (folder / "model.fp32.safetensors.index.json").write_text("{}")
    assert model_refusal(tmp_path) == (
        "error[MG533]: it is not plain which index is meant: `model.fp16.safetensors.index.json`, "
        "`model.fp32.safetensors.index.json`\n  --> …/m"
    )


@pytest.mark.parametrize(("said", "told"), [(9, True), (2, False), (1, False), ("9", False), (True, False)])
def test_a_configuration_that_promises_more_layers_than_there_are(folder, tmp_path, said, told):
    layers = {f"model.layers.{i}.w": entry(4 * i, 4 * i + 4) for i in range(2)}
    (folder / ONE).write_bytes(safetensors(layers, bytes(8)))
    _index(folder, dict.fromkeys(layers, ONE) | {"b": TWO})
    (folder / "config.json").write_text(json.dumps({"num_hidden_layers": said}))
    found = [render(warning) for warning in open_checkpoint("./m", relative_to=tmp_path).warnings]
    assert found == told * [
        "warning[MG534]: `config.json` promises 9 layers; the tensors are those of 2\n"
        f"  --> {folder}/config.json\n"
        "  = help: copy the rest of the model, or correct `num_hidden_layers`: what loads it would make up the missing "
        "layers"
    ]
