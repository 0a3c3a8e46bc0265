"""Gathered rows are those of a naive gather, whatever the memory, the workers and the passes."""

import numpy as np
import pytest
import torch
from families import read_model
from merging import ample, tight
from safetensors.torch import save_file
from tokenizers import Tokenizer, models

from mergegraph.compiler import Compilation
from mergegraph.diagnostics import Source
from mergegraph.merge import Options, merge

HIDDEN, WORDS = 48, 9000


def write(folder, words, seed, dtype=torch.float32, padding=0):
    """Write a model of an embedding, a bias for each token and a layer, with a tokenizer of these words."""
    folder.mkdir()
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token=words[0]))
    tokenizer.save(str(folder / "tokenizer.json"))
    count = len(words) + padding
    (folder / "config.json").write_text(f'{{"vocab_size": {count}, "tie_word_embeddings": true}}')
    generator = torch.Generator().manual_seed(seed)
    shapes = {
        "model.embed_tokens.weight": (count, HIDDEN),
        "lm_head.bias": (count,),
        "model.layers.0.mlp.weight": (8, HIDDEN),
        "model.norm.weight": (HIDDEN,),
    }
    tensors = {name: torch.randn(shape, generator=generator).to(dtype) for name, shape in shapes.items()}
    save_file(tensors, folder / "model.safetensors")
    return dict(zip(words, tensors["model.embed_tokens.weight"].float().numpy(), strict=False)), tensors


@pytest.fixture(scope="module")
def family(tmp_path_factory):
    """Write three models with shuffled words, each lacking some; return their folder and the rows of their words."""
    folder = tmp_path_factory.mktemp("words")
    rng = np.random.default_rng(3)
    words = [f"w{i}" for i in range(WORDS)]
    found = {}
    for seed, name in enumerate("abc"):
        mine = [words[i] for i in rng.permutation(WORDS)[: WORDS - 500 * seed]]
        dtype = torch.bfloat16 if name == "b" else torch.float32
        found[name] = write(folder / name, mine, seed, dtype, padding=7 * seed)[0]
    return folder, found


RECIPE = """
a = model("./a")
b = model("./b")
c = model("./c")
save ties(b, c, base=a, weight=[0.75, 0.5], density=0.5) to "ties" with tokenizer=union(b, c, pad_to_multiple_of=64)
save c to "copied" with tokenizer=union(c, a, base=b), dtype="float32"
"""


def outputs(folder, target, *, exact=True, **options):
    """Run the recipe and return the bytes of both outputs."""
    merge(Compilation(Source("recipe.merge", RECIPE), folder, exact), target, Options(**options))
    return [(target / name / "model.safetensors").read_bytes() for name in ("ties", "copied")]


def test_the_bytes_are_always_the_same(family, tmp_path):
    folder, _ = family
    wanted = outputs(folder, tmp_path / "reference")
    for exact, workers, memory in ((True, 3, tight), (False, 1, ample), (True, 1, tight)):
        out = tmp_path / f"{exact}{workers}{memory.__name__}"
        # Both outputs are made at once of three models: this takes more than the least that tests are given.
        assert outputs(folder, out, exact=exact, workers=workers, memory=memory() + 20_000_000) == wanted


def test_rows_are_those_of_a_naive_gather(family, tmp_path):
    folder, rows = family
    outputs(folder, tmp_path / "out")
    found = read_model(tmp_path / "out" / "copied")["model.embed_tokens.weight"].numpy()
    numbers = Tokenizer.from_file(str(tmp_path / "out" / "copied" / "tokenizer.json")).get_vocab()
    assert len(found) == len(numbers) == len(rows["a"].keys() | rows["c"].keys())
    for word, number in numbers.items():
        giver = rows["c"] if word in rows["c"] else rows["b"] if word in rows["b"] else rows["a"]
        assert np.array_equal(found[number], giver[word])
