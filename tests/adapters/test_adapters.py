"""Adapters in expressions, in little memory, and those that are refused."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from families import make_family, read_model
from merging import ample, compilation, digest, merged, run, tight
from safetensors.torch import load_file, save_file

from mergegraph.diagnostics import MergeGraphError
from mergegraph.kernels.adapter import LowRank, token_product
from mergegraph.kernels.tile import Tile

KEY = "base_model.model.model.layers.0.self_attn.q_proj.lora_{}.weight"
NAME = "model.layers.0.self_attn.q_proj.weight"
CONFIG = {"peft_type": "LORA", "r": 2, "lora_alpha": 6, "base_model_name_or_path": "base"}
ADDED = 'base = model("./base")\nsave base + lora("./adapter") to "out"'


def write_adapter(folder: Path, tensors: dict[str, torch.Tensor], **settings: object) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps({**CONFIG, **settings}))
    save_file(tensors, folder / "adapter_model.safetensors")


def pair(out: int = 32, into: int = 32, rank: int = 2, seed: int = 0, name: str = KEY) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    return {name.format("A"): torch.randn(rank, into) * 0.1, name.format("B"): torch.randn(out, rank) * 0.1}


def product(tensors: dict[str, torch.Tensor], scale: float = 3.0) -> torch.Tensor:
    b, a = (tensors[KEY.format(half)].double() for half in "BA")
    return scale * (b @ a)


def test_adapters_are_deltas_like_others(tmp_path):
    make_family(tmp_path, models=["base", "a"], dtype="float32")
    one, two = pair(seed=1), pair(seed=2)
    write_adapter(tmp_path / "one", one)
    write_adapter(tmp_path / "two", two)
    text = 'base = model("./base")\na = model("./a")\none = lora("./one", scale=0.5)\n'
    text += 'save base + trim(one, density=0.25) + mean(lora("./two"), a - base) to "out"'
    found = merged(tmp_path, text, tmp_path / "out")
    base, a = (read_model(tmp_path / name) for name in ("base", "a"))
    half = 0.5 * product(one)
    kept = half * (half.abs() >= np.sort(half.abs().numpy(), axis=None)[-256])
    wanted = base[NAME].double() + kept + (product(two) + a[NAME].double() - base[NAME].double()) / 2
    torch.testing.assert_close(found[NAME].double(), wanted, rtol=0, atol=1e-6)
    other = "model.layers.1.mlp.up_proj.weight"
    torch.testing.assert_close(found[other], base[other] + (a[other] - base[other]) / 2, rtol=0, atol=1e-6)


def test_what_an_adapter_does_not_touch_is_copied_and_types_are_those_of_the_model(tmp_path):
    make_family(tmp_path, models=["base"], dtype="bfloat16")
    write_adapter(tmp_path / "adapter", pair())
    found, base = merged(tmp_path, ADDED, tmp_path / "out"), read_model(tmp_path / "base")
    assert {name for name in base if not torch.equal(found[name], base[name])} == {NAME}
    assert found[NAME].dtype is torch.bfloat16
    assert torch.equal(found[NAME], (base[NAME].double() + product(pair())).bfloat16())


def test_memory_and_workers_change_no_byte(tmp_path):
    make_family(tmp_path, models=["base"], dtype="float32", hidden=192, intermediate=768, vocab=640)
    up = KEY.replace("self_attn.q_proj", "mlp.up_proj")
    tensors = {**pair(192, 192, 8), **pair(768, 192, 8, name=up)}
    tensors["base_model.model.model.layers.0.mlp.up_proj.lora_magnitude_vector"] = torch.rand(768) + 0.5
    tensors["base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector"] = torch.rand(192) + 0.5
    write_adapter(tmp_path / "adapter", tensors, r=8, use_dora=True)
    text = 'base = model("./base")\nsave base + trim(lora("./adapter"), density=0.5) to "out"'
    digests = set()
    for number, options in enumerate(({"memory": tight(), "workers": 1}, {"memory": ample(), "workers": 3})):
        run(tmp_path, text, tmp_path / f"out{number}" / "same", **options)
        digests.add(digest(tmp_path / f"out{number}" / "same"))
    assert len(digests) == 1


@pytest.mark.parametrize("transposed", [False, True])
def test_products_do_not_depend_on_how_tiles_are_cut(transposed):
    rng = np.random.default_rng(0)
    b = torch.from_numpy(rng.normal(size=(70, 33)) * 10.0 ** rng.integers(-6, 6, (70, 1))).float()
    a = torch.from_numpy(rng.normal(size=(33, 50)) * 10.0 ** rng.integers(-6, 6, (1, 50))).float()
    wanted = b.double() @ a.double()
    wanted = wanted.T.contiguous() if transposed else wanted
    found = []
    for step in (1, 7, 50, 333, 3500):
        out = torch.empty(3500)
        kernel = LowRank((b, a), length=wanted.shape[1], transposed=transposed, blocks=1)
        for start in range(0, 3500, step):
            kernel.update(Tile(start, min(step, 3500 - start)), out[start : start + step])
        found.append(out)
    assert all(torch.equal(out, found[0]) for out in found)
    largest = (b.abs().double() @ a.abs().double()).flatten()
    largest = largest.view(70, 50).T.flatten() if transposed else largest
    assert ((found[0].double() - wanted.flatten()).abs() <= 2.0**-23 * largest).all()


@pytest.mark.parametrize("transposed", [False, True])
def test_rows_of_products_in_another_order_do_not_depend_on_the_tiles(transposed):
    torch.manual_seed(2)
    b, a = torch.randn(70, 5), torch.randn(5, 50)
    plain = (b @ a).T if transposed else b @ a
    numbers = np.random.default_rng(0).integers(-1, len(plain), 40)
    wanted = torch.stack([plain[n] if n >= 0 else torch.zeros_like(plain[0]) for n in numbers])
    found = []
    for step in (1, 7, 333, wanted.numel()):
        out = torch.empty(wanted.numel())
        kernel = token_product((b, a, numbers[None]), length=wanted.shape[1], transposed=transposed)
        for start in range(0, len(out), step):
            kernel.update(Tile(start, min(step, len(out) - start)), out[start : start + step])
        found.append(out)
    assert all(torch.equal(out, found[0]) for out in found)
    torch.testing.assert_close(found[0].view_as(wanted), wanted, rtol=0, atol=1e-5)


MEMORY = """
import sys
from pathlib import Path
from mergegraph.compiler import read_recipe
from mergegraph.merge import Options, merge
folder = Path(sys.argv[1])
print(merge(read_recipe(folder / "r.merge"), folder / "out", Options(memory=480_000_000, workers=1)).peak_rss_bytes)
"""


def test_memory_does_not_grow_with_the_model(tmp_path):
    peaks = []
    for layers in (1, 9):
        folder = tmp_path / str(layers)
        (folder / "base").mkdir(parents=True)
        names = [f"model.layers.{i}.up.weight" for i in range(layers)]
        save_file({name: torch.full((2048, 2048), 0.5) for name in names}, folder / "base" / "model.safetensors")
        halves = {f"base_model.model.{name.removesuffix('.weight')}.lora_{{}}.weight" for name in names}
        write_adapter(folder / "adapter", {k: x for half in halves for k, x in pair(2048, 2048, name=half).items()})
        (folder / "r.merge").write_text(ADDED)
        found = subprocess.run([sys.executable, "-c", MEMORY, str(folder)], capture_output=True, text=True, check=True)
        peaks.append(int(found.stdout))
    assert peaks[1] - peaks[0] < 16_000_000


def test_mergekit_names_adapters_after_a_plus(tmp_path):
    make_family(tmp_path, models=["base"], dtype="float32")
    write_adapter(tmp_path / "adapter", pair())
    (tmp_path / "m.yml").write_text("merge_method: passthrough\nmodels:\n  - model: ./base+./adapter\ndtype: float32\n")
    from mergegraph.compiler import read_recipe
    from mergegraph.merge import Options, merge

    merge(read_recipe(tmp_path / "m.yml"), tmp_path / "out", Options())
    run(tmp_path, ADDED, tmp_path / "other")
    assert torch.equal(read_model(tmp_path / "out")[NAME], read_model(tmp_path / "other")[NAME])
    inputs = json.loads((tmp_path / "out" / "mergegraph.json").read_text())["inputs"]
    assert [found["source"] for found in inputs] == ["./base", "./adapter"]


def refusal(tmp_path: Path, text: str = ADDED) -> str:
    """Return the first line of what a merge with an adapter is refused for."""
    if not (tmp_path / "base").exists():
        make_family(tmp_path, models=["base"], dtype="float32")
    with pytest.raises(MergeGraphError) as caught:
        _ = compilation(tmp_path, text).graph
    return str(caught.value).partition("\n")[0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"peft_type": "IA3"}, "error[MG551]: this is no LoRA adapter: its `peft_type` is `IA3`"),
        ({"peft_type": None}, "error[MG551]: this is no LoRA adapter: its `peft_type` is `None`"),
        ({"r": 0}, "error[MG553]: the rank `r` must be a whole number above 0, this is `0`"),
        ({"r": True}, "error[MG553]: the rank `r` must be a whole number above 0, this is `True`"),
        ({"lora_alpha": float("nan")}, "error[MG553]: `lora_alpha` must be a finite number, this is `nan`"),
        ({"lora_alpha": "8"}, "error[MG553]: `lora_alpha` must be a finite number, this is `8`"),
        ({"use_dora": "yes"}, "error[MG553]: `use_dora` must be true or false, this is `yes`"),
        ({"rank_pattern": ["q"]}, "error[MG553]: `rank_pattern` must be an object, this is `['q']`"),
        ({"rank_pattern": {"(": 1}}, "error[MG553]: a pattern is no regular expression, this is `(`"),
        (
            {"rank_pattern": {"(?=q)q_proj": 2}},
            "error[MG557]: the pattern `(?=q)q_proj` can't be matched in bounded time: it looks around, refers "
            "back, or has an escape that is not known here",
        ),
        (
            {"alpha_pattern": {"q" * 501: 2}},
            f"error[MG557]: the pattern `{'q' * 120}…` can't be matched in bounded time: it is too long",
        ),
        ({"alpha_pattern": {"q_proj": {}}}, "error[MG553]: `lora_alpha` must be a finite number, this is `{}`"),
        (
            {"trainable_token_indices": [1, 1]},
            "error[MG553]: `trainable_token_indices` must be lists of different rows, this is `[1, 1]`",
        ),
        ({"use_qalora": True}, "error[MG552]: `use_qalora` makes this QA-LoRA and that can't be merged"),
        (
            {"init_lora_weights": "pissa_niter_4"},
            "error[MG552]: this adapter belongs to a base that `init_lora_weights` `pissa_niter_4` has changed",
        ),
        (
            {"use_dora": True},
            "error[MG555]: the DoRA adapter of `model.layers.0.self_attn.q_proj` lacks its magnitudes",
        ),
        (
            {"r": 3},
            f"error[MG385]: the adapter does not fit the shapes of the model: `{NAME}` is [32, 32] and rank 3, "
            f"`{KEY.format('B')}` [32, 2]",
        ),
    ],
)
def test_configurations_that_are_refused(settings, message, tmp_path):
    write_adapter(tmp_path / "adapter", pair(), **settings)
    assert refusal(tmp_path) == message


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        (
            {KEY.format("A"): torch.zeros(2, 32)},
            f"error[MG555]: these tensors lack their other half, `lora_A` or `lora_B`: `{KEY.format('A')}`",
        ),
        (
            {**pair(), KEY.format("B"): torch.zeros(32, 3)},
            "error[MG556]: the matrices of `model.layers.0.self_attn.q_proj` can't be multiplied: A is [2, 32], "
            "B is [32, 3]",
        ),
        (
            {**pair(), "base_model.model.model.other.lora_C.weight": torch.zeros(1)},
            "error[MG554]: these tensors are not understood: `base_model.model.model.other.lora_C.weight`",
        ),
        (
            {**pair(), KEY.format("A"): torch.zeros(2, 32, dtype=torch.int8)},
            f"error[MG554]: these tensors are not understood: `{KEY.format('A')}`",
        ),
        (
            {**pair(), "base_model.model.score.weight": torch.zeros(1)},
            "error[MG384]: the model has no tensors for these of the adapter: `base_model.model.score.weight`",
        ),
        (
            pair(32, 24),
            f"error[MG385]: the adapter does not fit the shapes of the model: `{NAME}` is [32, 32] and rank 2, "
            f"`{KEY.format('B')}` [32, 2]",
        ),
    ],
)
def test_tensors_that_are_refused(tensors, message, tmp_path):
    write_adapter(tmp_path / "adapter", tensors)
    assert refusal(tmp_path) == message


def test_experts_that_an_adapter_has_transposed_are_refused_with_a_way_out(tmp_path):
    make_family(tmp_path, models=["base"], dtype="float32")
    name = "model.layers.0.mlp.experts.{}.down_proj.weight"
    tensors = read_model(tmp_path / "base") | {name.format(number): torch.randn(6, 4) for number in range(3)}
    save_file(tensors, tmp_path / "base" / "model.safetensors")
    key = "base_model.model.model.layers.0.mlp.experts.lora_{}.weight"
    write_adapter(tmp_path / "adapter", pair(6, 4, 6, name=key), target_parameters=["mlp.experts.down_proj"])
    run(tmp_path, ADDED, tmp_path / "out")
    write_adapter(tmp_path / "adapter", pair(4, 6, 6, name=key), target_parameters=["mlp.experts.down_proj"])
    with pytest.raises(MergeGraphError) as caught:
        run(tmp_path, ADDED, tmp_path / "out")
    assert str(caught.value) == (
        f"error[MG384]: the model has no tensors for these of the adapter: `{key.format('A')}`, `{key.format('B')}`\n"
        "  ┌─ test.merge:2:13\n"
        '2 │ save base + lora("./adapter") to "out"\n'
        "  │             ^^^^^^^^^^^^^^^^^\n"
        "  = help: is this the model that the adapter was trained on?\n"
        "  = help: every tensor of an adapter must be used\n"
        "  = help: let the peft that trained the experts merge them, `merge_and_unload()`, and name that model"
    )


def test_pickles_and_models_are_no_adapters(tmp_path):
    write_adapter(tmp_path / "adapter", pair())
    (tmp_path / "adapter" / "adapter_model.safetensors").rename(tmp_path / "adapter" / "adapter_model.bin")
    assert refusal(tmp_path) == "error[MG522]: the adapter is not in safetensors: `adapter_model.bin`"
    text = 'base = model("./base")\nsave base + lora("./base") to "out"'
    assert refusal(tmp_path, text) == "error[MG550]: there is no `adapter_config.json` in this folder"


def test_an_adapter_of_another_model_is_mentioned(tmp_path):
    make_family(tmp_path, models=["base"], dtype="float32")
    write_adapter(tmp_path / "adapter", pair(), base_model_name_or_path="org/Other")
    (warning,) = compilation(tmp_path, ADDED).warnings()
    assert warning.code == "MG386"
    assert warning.message == "this adapter was trained on `org/Other`, and is added to `./base`"


def test_names_with_the_adapters_own_name_in_them(tmp_path):
    make_family(tmp_path, models=["base"], dtype="float32")
    renamed = {key.replace(".weight", ".default.weight"): tensor for key, tensor in pair().items()}
    write_adapter(tmp_path / "adapter", renamed)
    found = merged(tmp_path, ADDED, tmp_path / "out")
    base = load_file(tmp_path / "base" / "model.safetensors")[NAME]
    torch.testing.assert_close(found[NAME].double(), base.double() + product(pair()), rtol=0, atol=1e-6)


def test_a_pattern_that_would_never_end_is_matched_at_once(tmp_path):
    make_family(tmp_path, models=["base"], dtype="float32")
    patterns = {r"(\w+\.?)+x": 7, r"layers\.(0|1)\..*_proj": 2, ".*": 9}
    write_adapter(tmp_path / "adapter", pair(), rank_pattern=patterns, r=5)
    found, base = merged(tmp_path, ADDED, tmp_path / "out"), read_model(tmp_path / "base")
    torch.testing.assert_close(found[NAME].double(), base[NAME].double() + product(pair()), rtol=0, atol=1e-6)


def test_an_adapter_of_the_hub_is_that_of_the_same_folder(hub, tmp_path):
    make_family(tmp_path, models=["base"], dtype="float32")
    write_adapter(tmp_path / "adapter", pair())
    hub.upload("org/base", tmp_path / "base")
    hub.upload("org/adapter", tmp_path / "adapter")
    text = 'base = model("org/base")\nsave base + lora("org/adapter") to "out"'
    compilation(tmp_path, text).plan()
    weights = [request for request in hub.requests if request.path.endswith(".safetensors") and request.sent]
    assert all("range" in {name.lower() for name in request.headers} for request in weights)
    found = merged(tmp_path, text, tmp_path / "out")
    wanted = merged(tmp_path, ADDED, tmp_path / "local")
    assert all(torch.equal(found[name], tensor) for name, tensor in wanted.items())
    manifest = json.loads((tmp_path / "out" / "mergegraph.json").read_text())
    commits = {repo.branches["main"] for repo in hub.repos.values()}
    assert {model["commit"] for model in manifest["inputs"]} == commits
