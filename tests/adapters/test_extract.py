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
import torch
from families import make_family, read_model
from merging import digest, merged, tight
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

from mergegraph.cli.app import run
from mergegraph.kernels.factors import Factors

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
    assert "error[MG401]: this merge does not fit into 10 MB of memory" in capsys.readouterr().err
    assert extract("--include", "nothing") == 2
    assert "error[MG389]: no matrix differs between the model and its base" in capsys.readouterr().err
    tensors = {**models[1], Q: models[1][Q] * float("inf")}
    save_file(tensors, "a/model.safetensors")
    assert extract() == 1
    message = f"error[MG391]: matrices with elements that are NaN or infinite can't be factored: `{Q}`"
    assert message in capsys.readouterr().err
    assert not Path("adapter").exists()


@pytest.mark.parametrize("settings", ["rank=8", "rank=8, energy=0.5"])
def test_the_least_memory_that_a_refusal_names_does_in_every_stage(tmp_path, settings):
    """Ranks are found in a stage of their own, which leaves libraries and threads behind."""
    rng = np.random.default_rng(0)
    for name in ("base", "tuned"):
        (tmp_path / name).mkdir()
        values = torch.tensor(rng.normal(0, 0.02, (1500, 1600)), dtype=torch.float32)
        save_file({"proj.weight": values}, tmp_path / name / "model.safetensors")
    text = 'base = model("./base")\ntuned = model("./tuned")\n'
    (tmp_path / "x.merge").write_text(f'{text}save extract_lora(tuned, base=base, {settings}) to "adapter"')

    def execute(memory):
        command = [sys.executable, "-m", "mergegraph", "run", "x.merge", "--json", "--memory", memory]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    refused = execute("50MB")
    assert refused.returncode == 4
    least = refused.stderr.split("smallest that would do is `--memory ")[1].split("`")[0]
    done = execute(least)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["peak_rss_bytes"] <= found["planned_peak_bytes"] <= int(least.removesuffix("MB")) * 1_000_000


def test_what_is_left_out_is_said(models, capsys):
    """A fine-tune has two more tokens, and a tensor of its own; that one wants no `q_proj` is no news."""
    tensors = models[1] | {"extra.weight": torch.ones(3, 3)}
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        tensors[name] = torch.cat([tensors[name], torch.ones(2, tensors[name].shape[1])])
    save_file(tensors, "a/model.safetensors")
    config = Path("a/config.json")
    config.write_text(json.dumps({**json.loads(config.read_text()), "vocab_size": 66}))
    assert extract("--rank", "3", "--exclude", "*.q_proj.*") == 0
    assert capsys.readouterr().err == (
        "warning[MG390]: these tensors of the model are not in the adapter: `lm_head.weight`, "
        "`model.embed_tokens.weight`, `extra.weight`\n"
        "  ┌─ extract-lora:3:1\n"
        '3 │ save extract_lora(select { "*.q_proj.*"?: base, _: tuned }, base=base, rank=3) to "adapter"\n'
        "  │ " + "^" * 91 + "\n\n"
    )
    keys = load_file("adapter/adapter_model.safetensors")
    assert any("k_proj" in key for key in keys)
    assert not any("q_proj" in key or "embed" in key for key in keys)


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
from mergegraph.cli.app import run
from mergegraph.execute.run import OutputWriter
from mergegraph.write import ledger

ledger.SYNC_BYTES = 1
record, left = OutputWriter.record, [5]

def killed(self, digests):
    left[0] -= any("lora" in target.name for target in digests)
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    record(self, digests)

OutputWriter.record = killed
run(sys.argv[1:])
"""


def test_a_killed_extraction_goes_on_with_resume(models, monkeypatch):
    assert extract("--rank", "4") == 0
    reference = digest(Path("adapter"))
    shutil.rmtree("adapter")
    command = ["extract-lora", "./a", "--base", "./base", "-o", "adapter", "--rank", "4", "--workers", "1"]
    done = subprocess.run([sys.executable, "-c", KILLED, *command], capture_output=True)
    assert done.returncode == -signal.SIGKILL
    assert not Path("adapter").exists()
    factored = []
    monkeypatch.setattr(Factors, "result", recorded(factored))
    assert extract("--rank", "4", "--resume") == 0
    assert digest(Path("adapter")) == reference
    matrices = [
        key for key in load_file("adapter/adapter_model.safetensors") if "lora_A" in key or "embedding_A" in key
    ]
    assert len(factored) == len(matrices) - 4


def recorded(calls):
    """Return the method that factors, which leaves a note of each call."""
    result = Factors.result

    def note(self):
        calls.append(self)
        return result(self)

    return note


RECIPE = """base = model("./base")
a = model("./a")
b = model("./b")
m = ties(a, b, base=base, density=0.5)
save m to "m" with dtype="float32"
for r in [3, 9]: save extract_lora(m, base=base, rank=r) to "rank-{r}"
save extract_lora(m, base=base, rank=20, energy=0.7) to "energy"
save extract_lora(select { "*.mlp.*": m, _: base }, base=base, rank=3) to "mlp"
"""


@pytest.fixture
def three(tmp_path, monkeypatch):
    make_family(tmp_path, models=["base", "a", "b"], dtype="bfloat16")
    monkeypatch.chdir(tmp_path)
    Path("r.merge").write_text(RECIPE)


def test_adapters_of_an_expression_are_those_of_the_merged_model(three):
    assert run(["run", "r.merge"]) == 0
    options = {
        "rank-3": ["--rank", "3"],
        "rank-9": ["--rank", "9"],
        "energy": ["--rank", "20", "--energy", "0.7"],
        "mlp": ["--rank", "3", "--include", "*.mlp.*"],
    }
    for name, given in options.items():
        assert run(["extract-lora", "./m", "--base", "./base", "-o", f"{name}-by-command", *given]) == 0
        for file in ("adapter_model.safetensors", "adapter_config.json"):
            assert Path(name, file).read_bytes() == Path(f"{name}-by-command", file).read_bytes(), (name, file)
        assert run(["verify", name]) == 0
    ranks = {len(tensor) for key, tensor in load_file("energy/adapter_model.safetensors").items() if "lora_A" in key}
    assert len(ranks) > 1
    assert max(ranks) <= 20


def test_bytes_of_adapters_do_not_depend_on_memory_or_workers(three):
    assert run(["run", "r.merge", "one", "--workers", "1", "--memory", str(tight() + 60_000_000)]) == 0
    assert run(["run", "r.merge", "other", "--workers", "2"]) == 0
    for name in ("rank-3", "rank-9", "energy", "mlp"):
        assert digest(Path("one", name)) == digest(Path("other", name))


def test_an_adapter_is_explained_before_anything_is_read(three, capsys):
    assert run(["explain", "r.merge", "--stage", "recipe", "--tensor", "*.1.mlp.up_proj.lora_A.weight"]) == 0
    shown = capsys.readouterr().out
    assert "base_model.model.model.layers.1.mlp.up_proj.lora_A.weight of rank-9: float32[9, 32]" in shown
    assert "a: model.layers.1.mlp.up_proj.weight, bfloat16[64, 32], in model.safetensors" in shown
    assert run(["explain", "r.merge", "--format", "json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert [found["tensors"] for found in plan["outputs"]] == [21, 37, 37, 37, 12]
    assert len(plan["before"]) == 1


def test_what_was_only_rounded_does_not_differ(three, capsys):
    """The fine-tune lies there as bfloat16, and its base as float32."""
    wide = {name: tensor.float() * (1 + 1e-5) for name, tensor in read_model(Path("base")).items()}
    kept = {name: tensor.bfloat16() for name, tensor in wide.items()}
    changed = kept | {Q: kept[Q] * 2}
    save_file(wide, "base/model.safetensors")
    save_file(changed, "a/model.safetensors")
    assert extract("--rank", "2") == 0
    assert len(load_file("adapter/adapter_model.safetensors")) == 2


def test_an_output_that_exists_is_refused_before_models_are_read(three, capsys):
    Path("rank-3").mkdir()
    Path("a/model.safetensors").write_bytes(Path("a/model.safetensors").read_bytes()[:-1] + b"\xff")
    assert run(["run", "r.merge"]) == 1
    assert "error[MG601]: `rank-3` exists already" in capsys.readouterr().err
