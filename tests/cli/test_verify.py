"""`verify`: what it says of an output, and of the models it was made from."""

import json
import shutil

import numpy as np
import pytest
from families import make_family
from safetensors.numpy import save_file

from mergegraph.cli.app import run


@pytest.fixture
def output(tmp_path, monkeypatch):
    """A merge of two models, whose recipe lies in a folder of its own."""
    make_family(tmp_path / "recipes", models=("a", "b"))
    (tmp_path / "recipes" / "mean.merge").write_text('save mean(model("./a"), model("./b")) to "out"\n')
    monkeypatch.chdir(tmp_path)
    assert run(["run", "recipes/mean.merge"]) == 0
    return tmp_path


def test_inputs_are_checked_from_the_folder_of_the_recipe(output, capsys):
    capsys.readouterr()
    assert run(["verify", "out", "--inputs", "recipes"]) == 0
    assert capsys.readouterr().out.endswith("; 2 inputs as merged\n")
    assert run(["verify", "out", "--inputs", "."]) == 1
    assert capsys.readouterr().err.startswith(
        "error[MG680]: the input `./a` can't be opened: there is no model at `./a`: nothing has this path\n"
        "  --> a\n"
        "  = help: paths of models begin in the folder that `--inputs` names: that of the recipe\n"
    )


def test_a_changed_input_is_found(output, capsys):
    shutil.rmtree(output / "recipes" / "a")
    make_family(output / "recipes", models=("a",), layers=3)
    capsys.readouterr()
    assert run(["verify", "out"]) == 0
    assert run(["verify", "out", "--inputs", "recipes"]) == 1
    assert capsys.readouterr().err == (
        "error[MG681]: files of the input `./a` are not those that were merged: `model.safetensors`\n"
        "  --> recipes/a\n"
        "  = help: the output itself is as it was written; run its recipe again to merge what is there now\n\n"
    )


def test_findings_as_data(output, capsys):
    with (output / "out" / "config.json").open("a") as file:
        file.write(" ")
    capsys.readouterr()
    assert run(["verify", "out", "--format", "json"]) == 1
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["code"], found["place"]) == ("MG623", "out/config.json")


def test_adapters_are_inputs_too(tmp_path, monkeypatch, capsys):
    make_family(tmp_path, models=("base",), dtype="float32")
    name = "base_model.model.model.layers.0.self_attn.q_proj.lora_{}.weight"
    (tmp_path / "adapter").mkdir()
    config = tmp_path / "adapter" / "adapter_config.json"
    config.write_text('{"peft_type": "LORA", "r": 2, "lora_alpha": 4}')
    tensors = {name.format("A"): np.ones((2, 32), "f4"), name.format("B"): np.ones((32, 2), "f4")}
    save_file(tensors, tmp_path / "adapter" / "adapter_model.safetensors")
    (tmp_path / "add.merge").write_text('save model("./base") + lora("./adapter") to "out"\n')
    monkeypatch.chdir(tmp_path)
    assert run(["run", "add.merge"]) == 0
    capsys.readouterr()
    assert run(["verify", "out", "--inputs", "."]) == 0
    assert capsys.readouterr().out.endswith("; 2 inputs as merged\n")
    config.write_text('{"peft_type": "LORA", "r": 2, "lora_alpha": 8}')
    assert run(["verify", "out", "--inputs", "."]) == 1
    assert capsys.readouterr().err == (
        "error[MG681]: files of the input `./adapter` are not those that were merged: `adapter_config.json`\n"
        "  --> adapter\n"
        "  = help: the output itself is as it was written; run its recipe again to merge what is there now\n\n"
    )
