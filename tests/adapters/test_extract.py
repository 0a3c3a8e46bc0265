"""An extracted adapter gives back the fine-tune, as well as any of its rank could."""

import json
import shutil
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from families import make_family, read_model
from merging import digest, merged
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

from mergegraph.cli.app import run
from mergegraph.kernels.factors import factored

Q = "model.layers.0.self_attn.q_proj.weight"


@pytest.fixture
def models(tmp_path, monkeypatch):
    make_family(tmp_path, models=["base", "a"], dtype="float32")
    monkeypatch.chdir(tmp_path)
    return [read_model(tmp_path / name) for name in ("base", "a")]


def extract(*options: str) -> int:
    return run(["extract-lora", "./a", "--base", "./base", "-o", "adapter", *options])


def added() -> dict:
    return merged(Path(), 'base = model("./base")\nsave base + lora("./adapter") to "out"', Path("out"))


def test_full_rank_gives_the_fine_tune_to_us_and_to_peft(models):
    assert extract("--rank", "64") == 0
    _, tuned = models
    found = added()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained("base"), "adapter")
        theirs = loaded.merge_and_unload().state_dict()
    for name, tensor in tuned.items():
        assert float((found[name] - tensor).abs().max()) < 1e-5, name
        assert float((theirs[name] - tensor).abs().max()) < 1e-5, name


def test_lower_rank_is_as_near_as_that_rank_allows(models):
    assert extract("--rank", "5") == 0
    base, tuned = models
    found = added()
    for name in (name for name, tensor in base.items() if tensor.ndim == 2):
        singular = np.linalg.svd((tuned[name] - base[name]).double().numpy(), compute_uv=False)
        error = float((found[name] - tuned[name]).double().norm())
        assert error == pytest.approx(float(np.sqrt((singular[5:] ** 2).sum())), rel=0.01), name


def test_energy_takes_the_least_rank_that_keeps_it(models):
    assert extract("--energy", "0.6", "--include", "*.self_attn.*") == 0
    base, tuned = models
    tensors = load_file("adapter/adapter_model.safetensors")
    ranks = {key: len(tensor) for key, tensor in tensors.items() if "lora_A" in key}
    assert all(".self_attn." in key for key in ranks)
    for key, rank in ranks.items():
        name = key.removeprefix("base_model.model.").replace("lora_A.", "")
        squares = np.linalg.svd((tuned[name] - base[name]).double().numpy(), compute_uv=False) ** 2
        kept = np.cumsum(squares) / squares.sum()
        assert kept[rank - 1] >= 0.6 > (kept[rank - 2] if rank > 1 else 0), name
    added()


def test_equal_runs_write_equal_bytes(models):
    assert extract("--rank", "4") == 0
    first = Path("adapter/adapter_model.safetensors").read_bytes()
    assert extract("--rank", "4", "--overwrite", "--memory", "8GB") == 0
    assert Path("adapter/adapter_model.safetensors").read_bytes() == first
    assert run(["verify", "adapter"]) == 0
    assert json.loads(Path("adapter/adapter_config.json").read_text())["r"] == 4


def test_what_is_refused(models, capsys):
    assert extract("--memory", "10MB") == 4
    assert "error[MG388]: factoring this matrix does not fit into 10 MB of memory" in capsys.readouterr().err
    assert extract("--include", "nothing") == 2
    assert "error[MG389]: no matrix differs between the models and is asked for" in capsys.readouterr().err
    tensors = {**models[1], Q: models[1][Q] * float("inf")}
    save_file(tensors, "a/model.safetensors")
    assert extract() == 1
    assert "error[MG391]: a matrix with elements that are NaN or infinite can't be factored" in capsys.readouterr().err
    assert not Path("adapter").exists()


def test_what_is_left_out_is_said(models, capsys):
    assert extract("--exclude", "*.q_proj.*", "--exclude", "*.layers.1.*") == 0
    assert f"warning[MG390]: these tensors of the fine-tune are not in the adapter: `{Q}`" in capsys.readouterr().err


def test_a_gpt2_is_adapted_by_peft(tmp_path, monkeypatch):
    """Its matrices have a row for each input; those of attention's output are square."""
    monkeypatch.chdir(tmp_path)
    config = GPT2Config(vocab_size=40, n_positions=16, n_embd=16, n_layer=2, n_head=2)
    for name in ("base", "a"):
        GPT2LMHeadModel(config).save_pretrained(name)
    tuned = read_model(tmp_path / "a")
    assert extract("--rank", "64") == 0
    assert json.loads(Path("adapter/adapter_config.json").read_text())["fan_in_fan_out"] is True
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded = PeftModel.from_pretrained(GPT2LMHeadModel.from_pretrained("base"), "adapter")
        theirs = loaded.merge_and_unload().state_dict()
    ours = added()
    for name, tensor in tuned.items():
        assert float((theirs[name] - tensor).abs().max()) < 1e-6, name
        assert float((ours[name] - tensor).abs().max()) < 1e-6, name


KILLED = """
import os, signal, sys
from mergegraph import extract
from mergegraph.cli.app import run
from mergegraph.kernels.factors import factored
from mergegraph.write import ledger

ledger.SYNC_BYTES = 1
write, left = extract._write, [5]

def killed(*arguments):
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    write(*arguments)

extract._write = killed
run(sys.argv[1:])
"""


def test_a_killed_extraction_goes_on_with_resume(models, monkeypatch):
    assert extract("--rank", "4") == 0
    reference = digest(Path("adapter"))
    shutil.rmtree("adapter")
    command = ["extract-lora", "./a", "--base", "./base", "-o", "adapter", "--rank", "4"]
    done = subprocess.run([sys.executable, "-c", KILLED, *command], capture_output=True)
    assert done.returncode == -signal.SIGKILL
    assert not Path("adapter").exists()
    factored = []
    monkeypatch.setattr("mergegraph.kernels.factors.factored", recorded(factored))
    assert extract("--rank", "4", "--resume") == 0
    assert digest(Path("adapter")) == reference
    matrices = [
        key for key in load_file("adapter/adapter_model.safetensors") if "lora_A" in key or "embedding_A" in key
    ]
    assert len(factored) == len(matrices) - 4


def recorded(calls):
    """Return the function that factors, which leaves a note of each call."""

    def note(*arguments):
        calls.append(arguments)
        return factored(*arguments)

    return note
