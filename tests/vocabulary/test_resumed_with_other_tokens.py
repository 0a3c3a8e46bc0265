"""A run is not continued with a tokenizer or an adapter that has changed, and is told which."""

import json

import pytest
import torch
from merging import run
from safetensors.torch import load_file, save_file
from tokenized import bpe, extended, write_model

from mergegraph.diagnostics import MergeGraphError

TEXT = (
    'a = model("./a")\nb = model("./b")\nadapter = lora("./adapter")\n'
    'save mean(a + adapter, b) to "out" with tokenizer=union(a, b)'
)


def interrupted(folder):
    """Run a recipe up to where a tensor of integers differs."""
    for number, (name, tokenizer) in enumerate({"a": bpe(), "b": extended(bpe(), special=["<b>"])}.items()):
        path = write_model(folder / name, tokenizer, number) / "model.safetensors"
        save_file({**load_file(path), "zz": torch.full((4,), number, dtype=torch.uint8)}, path)
    (folder / "adapter").mkdir()
    config = {"peft_type": "LORA", "r": 1, "lora_alpha": 2, "base_model_name_or_path": "./a"}
    (folder / "adapter" / "adapter_config.json").write_text(json.dumps(config))
    halves = {"A": torch.ones(1, 4), "B": torch.ones(4, 1)}
    keys = {half: f"base_model.model.model.layers.0.self_attn.q_proj.lora_{half}.weight" for half in "AB"}
    save_file({keys[half]: x for half, x in halves.items()}, folder / "adapter" / "adapter_model.safetensors")
    with pytest.raises(MergeGraphError, match="MG541"):
        run(folder, TEXT, folder / "out", workers=1)


@pytest.mark.parametrize(
    ("file", "old", "new", "named"),
    [
        ("b/tokenizer.json", '"<b>"', '"<c>"', "./b/tokenizer.json (input 3)"),
        (
            "adapter/adapter_config.json",
            '"lora_alpha": 2',
            '"lora_alpha": 3',
            "./adapter/adapter_config.json (input 2)",
        ),
    ],
)
def test_what_has_changed_is_named(file, old, new, named, tmp_path):
    interrupted(tmp_path)
    path = tmp_path / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(MergeGraphError) as caught:
        run(tmp_path, TEXT, tmp_path / "out", resume=True)
    (partial,) = tmp_path.glob("out.partial-*")
    assert str(caught.value).splitlines()[0] == (
        f"error[MG611]: `{partial.name}` can't be continued by this run: these inputs have changed since: `{named}`"
    )
