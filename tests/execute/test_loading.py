"""What is written loads elsewhere: transformers for whole models, safetensors for every file."""

import json

import pytest
import torch
from families import make_family, read_model
from merging import run
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer

HEADER = 'base = model("./base")\na = model("./a")\nb = model("./b")\n'


@pytest.mark.parametrize(
    ("expression", "layers"),
    [
        ("ties(a, b, base=base, density=0.5)", 4),
        ("slerp(a, b, t=0.3)", 4),
        ("stack(a.layers[0..3], slerp(a, b, t=0.5).layers[1..4], b.layers[2..4], rest=a)", 8),
        ('select { "*.mlp.*": dare_ties(a, b, base=base, density=0.5), _: base }', 4),
    ],
)
def test_transformers_loads_it(tmp_path, expression, layers):
    make_family(tmp_path, models=("base", "a", "b"), layers=4, shards=2)
    run(tmp_path, f'{HEADER}save {expression} to "out" with shard_size="60KB"', tmp_path / "out")
    out = tmp_path / "out"
    shards = sorted(out.glob("*.safetensors"))
    assert len(shards) > 1
    index = json.loads((out / "model.safetensors.index.json").read_text())
    for shard in shards:
        with safe_open(shard, framework="pt") as file:
            assert set(file.keys()) == {n for n, f in index["weight_map"].items() if f == shard.name}
    model, loading = AutoModelForCausalLM.from_pretrained(out, output_loading_info=True)
    assert not any(loading.values())
    assert model.config.num_hidden_layers == layers == len(model.model.layers)
    tokens = AutoTokenizer.from_pretrained(out)("w3 w5 w7", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        assert model(tokens).logits.isfinite().all()


def test_a_stack_takes_each_layer_from_where_it_says(tmp_path):
    make_family(tmp_path, models=("base", "a", "b"), layers=4)
    run(tmp_path, HEADER + 'save stack(a.layers[1..3], b.layers[0..4], rest=b) to "out"', tmp_path / "out")
    out, a, b = (read_model(tmp_path / name) for name in ("out", "a", "b"))
    origins = [(a, 1), (a, 2), (b, 0), (b, 1), (b, 2), (b, 3)]
    for name, tensor in out.items():
        if ".layers." not in name:
            assert torch.equal(tensor, b[name])
            continue
        number = int(name.split(".")[2])
        source, layer = origins[number]
        assert torch.equal(tensor, source[name.replace(f"layers.{number}.", f"layers.{layer}.")])


def test_a_tied_head_is_read_through_its_partner(tmp_path):
    make_family(tmp_path / "x", models=("base", "a"), tied=True)
    make_family(tmp_path / "y", models=("base", "b"), tied=False)
    recipe = 'a = model("./x/a")\nb = model("./y/b")\nsave mean(b, a) to "out"'
    run(tmp_path, recipe, tmp_path / "out")
    out, a, b = (read_model(tmp_path / name) for name in ("out", "x/a", "y/b"))
    mean = (a["model.embed_tokens.weight"].float() + b["lm_head.weight"].float()) / 2
    assert torch.equal(out["lm_head.weight"], mean.bfloat16())
    model, loading = AutoModelForCausalLM.from_pretrained(tmp_path / "out", output_loading_info=True)
    assert not any(loading.values())
    assert torch.equal(model.lm_head.weight, out["lm_head.weight"])
