"""Configurations that say what the tensors can't be: told by headers alone, and true in what is merged."""

import json

import pytest
import torch
from families import make_family, read_model
from merging import compilation, run
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

from mergegraph.checkpoint.checkpoint import open_checkpoint
from mergegraph.diagnostics import render

HEAD, EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"
TOKENS = {EMBEDDING: (6, 2), HEAD: (6, 2)}
GEMMA = {"language_model.model.embed_tokens.weight": (6, 2)}
NO_HEAD = {EMBEDDING: (6, 2), "model.norm.weight": (2,)}
LLAMA = ["LlamaForCausalLM"]


def warnings_of(folder, config, shapes):
    """Return the rendered warnings about a model with this configuration and tensors of these shapes."""
    save_file({name: torch.zeros(shape) for name, shape in shapes.items()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
    return "\n".join(map(render, open_checkpoint(".", relative_to=folder).warnings)).replace(str(folder), "…")


@pytest.mark.parametrize(
    ("config", "shapes", "said"),
    [
        ({"vocab_size": 8}, TOKENS, f"8 tokens; `{EMBEDDING}` has 6 rows"),
        ({"vocab_size": 9000, "vision_config": {"vocab_size": 6}}, TOKENS, f"9,000 tokens; `{EMBEDDING}` has 6 rows"),
        ({"text_config": {"vocab_size": 8}}, GEMMA, f"8 tokens; `{next(iter(GEMMA))}` has 6 rows"),
        ({"vocab_size": 6}, TOKENS | {HEAD: (7, 2)}, f"6 tokens; `{HEAD}` has 7 rows"),
    ],
)
def test_a_vocabulary_that_is_not_that_of_the_tensors(tmp_path, config, shapes, said):
    assert warnings_of(tmp_path, config, shapes) == (
        f"warning[MG535]: `config.json` promises {said}\n"
        "  --> …/config.json\n"
        "  = help: correct `vocab_size`: what loads the model would refuse these weights"
    )


def test_a_tied_head_of_another_shape(tmp_path):
    config = {"vocab_size": 6, "tie_word_embeddings": True}
    assert warnings_of(tmp_path, config, TOKENS | {HEAD: (6, 4)}) == (
        f"warning[MG536]: `config.json` ties `{HEAD}` to `{EMBEDDING}`, which has another shape\n"
        "  --> …/config.json\n"
        "  = help: set `tie_word_embeddings` to false"
    )


def test_a_head_that_is_neither_there_nor_tied(tmp_path):
    config = {"vocab_size": 6, "tie_word_embeddings": False, "architectures": LLAMA}
    assert warnings_of(tmp_path, config, NO_HEAD) == (
        "warning[MG536]: `config.json` says that the output head is not tied to the embedding, and there is no head\n"
        "  --> …/config.json\n"
        "  = help: copy the rest of the model, or set `tie_word_embeddings` to true: what loads it would make up a head"
    )


@pytest.mark.parametrize(
    ("config", "shapes"),
    [
        ({"vocab_size": 6}, TOKENS),
        ({"vocab_size": 8, "text_config": {"vocab_size": 6}}, GEMMA),
        ({"vocab_size": 8}, {"model.norm.weight": (2,)}),
        ({"vocab_size": 6}, {EMBEDDING: (6, 2), "classifier.output.weight": (3, 2)}),
        ({"vocab_size": "6", "architectures": [7]}, TOKENS),
        ({"vocab_size": 6, "tie_word_embeddings": True}, TOKENS),
        ({"vocab_size": 6, "architectures": LLAMA}, NO_HEAD),
        ({"vocab_size": 6, "tie_word_embeddings": True, "architectures": LLAMA}, NO_HEAD),
        ({"vocab_size": 6, "tie_word_embeddings": False, "architectures": ["LlamaModel"]}, NO_HEAD),
        ({"tie_word_embeddings": False, "architectures": ["OwnForCausalLM"]}, NO_HEAD | {"reader.weight": (6, 2)}),
    ],
)
def test_what_may_be_true_is_not_told(tmp_path, config, shapes):
    assert warnings_of(tmp_path, config, shapes) == ""


@pytest.fixture
def family(tmp_path):
    """Two models with a head of their own, whose configurations can be changed."""
    folders = make_family(tmp_path, models=("a", "b"), layers=1, vocab=24, dtype="float32")

    def say(**claims):
        for folder in folders.values():
            config = json.loads((folder / "config.json").read_text())
            (folder / "config.json").write_text(json.dumps({**config, **claims}))

    return say


MEAN = 'a = model("./a")\nb = model("./b")\n'


def test_the_vocabulary_of_a_merge_is_that_of_its_tensors(family, tmp_path):
    family(vocab_size=32)
    text = f'{MEAN}save linear(a, b) to "out"'
    assert [warning.code for warning in compilation(tmp_path, text).warnings()] == ["MG535", "MG535"]
    run(tmp_path, text, tmp_path / "out")
    assert json.loads((tmp_path / "out" / "config.json").read_text())["vocab_size"] == 24
    AutoModelForCausalLM.from_pretrained(tmp_path / "out")


def test_a_head_that_differs_from_its_embedding_is_no_longer_tied(family, tmp_path):
    family(tie_word_embeddings=True)
    result = run(tmp_path, f'{MEAN}save linear(a, b) to "out"', tmp_path / "out")
    assert "\n".join(map(render, result.warnings)) == (
        f"warning[MG632]: `{HEAD}` is not what `{EMBEDDING}` is, to which `config.json` tied it: `tie_word_embeddings` "
        "is false now\n"
        "  = help: it is loaded as it is; where both should be one, take them by `select` from a model in which they "
        "are"
    )
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert torch.equal(loaded.lm_head.weight, read_model(tmp_path / "out")[HEAD])


def test_a_head_that_is_its_embedding_stays_tied(family, tmp_path):
    family(tie_word_embeddings=True)
    for name in "ab":
        tensors = read_model(tmp_path / name)
        save_file(tensors | {HEAD: tensors[EMBEDDING].clone()}, tmp_path / name / "model.safetensors")
    result = run(tmp_path, f'{MEAN}save linear(a, b) to "out"', tmp_path / "out")
    assert result.warnings == ()
    assert json.loads((tmp_path / "out" / "config.json").read_text())["tie_word_embeddings"] is True
