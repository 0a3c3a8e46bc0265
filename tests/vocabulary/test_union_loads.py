"""Unions of tokenizers load in transformers, encode as their parents do, and give each token its parent's row."""

import itertools

import pytest
import torch
from llama import write_json
from tokenized import (
    EMBEDDING,
    HEAD,
    OTHER_TEXT,
    TEXT,
    bpe,
    extended,
    rows,
    settings,
    unigram,
    vocabulary,
    wordpiece,
    write_model,
)
from transformers import AutoModelForCausalLM, AutoTokenizer

from mergegraph.compiler import Compilation
from mergegraph.diagnostics import Source
from mergegraph.merge import Options, merge

KINDS = {"bpe": bpe, "wordpiece": wordpiece, "unigram": unigram}


def run(folder, text, **options):
    """Run a recipe beside the models of a folder, and return its output."""
    merge(Compilation(Source("recipe.merge", text), folder), folder / "out", Options(overwrite=True, **options))
    return folder / "out"


def loaded(out):
    """Return model and tokenizer as transformers loads them."""
    model = AutoModelForCausalLM.from_pretrained(out)
    tokenizer = AutoTokenizer.from_pretrained(out)
    assert len(model.get_input_embeddings().weight) == model.config.vocab_size >= len(tokenizer)
    return model, tokenizer


@pytest.mark.parametrize("kind", KINDS)
def test_added_tokens_of_both(kind, tmp_path):
    plain = KINDS[kind]()
    one = extended(plain, plain=["zebra"], special=["<|user|>", "<|end|>"])
    two = extended(plain, plain=["giraffe"], special=["<|end|>", "<|tool|>"])
    write_model(tmp_path / "a", one, 1)
    write_model(tmp_path / "b", two, 2)
    out = run(
        tmp_path,
        'a = model("./a")\nb = model("./b")\n'
        'save mean(a, b) to "out" with tokenizer=union(a, b, pad_to_multiple_of=64)',
    )
    model, tokenizer = loaded(out)
    assert model.config.vocab_size % 64 == 0
    assert vocabulary(out).keys() == vocabulary(tmp_path / "a").keys() | vocabulary(tmp_path / "b").keys()
    assert tokenizer.get_vocab() == vocabulary(out)
    for tensor in (EMBEDDING, HEAD):
        a, b, found = (rows(folder, tensor) for folder in (tmp_path / "a", tmp_path / "b", out))
        for token, row in found.items():
            givers = [given[token] for given in (a, b) if token in given]
            assert torch.equal(row, torch.stack(givers).mean(0)), token
    for parent in ("a", "b"):
        original = AutoTokenizer.from_pretrained(tmp_path / parent)
        texts = [*TEXT, "<|user|> the zebra<|end|>"] if parent == "a" else [*TEXT, "<|tool|> giraffe dog<|end|>"]
        for text in texts:
            wanted = original.convert_ids_to_tokens(original(text)["input_ids"])
            assert tokenizer.convert_ids_to_tokens(tokenizer(text)["input_ids"]) == wanted
            assert tokenizer.decode(tokenizer(text)["input_ids"]) == original.decode(original(text)["input_ids"])


@pytest.mark.parametrize("kind", KINDS)
def test_other_vocabularies(kind, tmp_path):
    """Tokens of the second model are made of its own pieces: what it could write, the union can."""
    write_model(tmp_path / "a", KINDS[kind](), 1)
    write_model(tmp_path / "b", extended(KINDS[kind](50, OTHER_TEXT), special=["<b>"]), 2)
    out = run(tmp_path, 'a = model("./a")\nb = model("./b")\nsave mean(a, b) to "out" with tokenizer=union(a, b)')
    _, tokenizer = loaded(out)
    assert vocabulary(out).keys() == vocabulary(tmp_path / "a").keys() | vocabulary(tmp_path / "b").keys()
    assert {t: n for t, n in vocabulary(out).items() if n < len(vocabulary(tmp_path / "a"))} == vocabulary(
        tmp_path / "a"
    )
    original = AutoTokenizer.from_pretrained(tmp_path / "b")
    for text in (*OTHER_TEXT, "0123456789<b>"):
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == original.decode(original(text)["input_ids"])


@pytest.mark.parametrize(("one", "other"), list(itertools.permutations(KINDS, 2)))
def test_other_kinds(one, other, tmp_path):
    """Text that the first tokenizer can write is cut as before, and each token has its parent's row."""
    write_model(tmp_path / "a", KINDS[one](), 1)
    write_model(tmp_path / "b", extended(KINDS[other](50, OTHER_TEXT), special=["<b>"]), 2)
    out = run(tmp_path, 'a = model("./a")\nb = model("./b")\nsave mean(a, b) to "out" with tokenizer=union(a, b)')
    _, tokenizer = loaded(out)
    a, b, found = (rows(folder) for folder in (tmp_path / "a", tmp_path / "b", out))
    assert tokenizer.get_vocab().keys() == found.keys() == a.keys() | b.keys()
    for token, row in found.items():
        givers = [given[token] for given in (a, b) if token in given]
        assert torch.equal(row, torch.stack(givers).mean(0)), token
    original = AutoTokenizer.from_pretrained(tmp_path / "a")
    for text in TEXT:
        assert tokenizer(text)["input_ids"] == original(text)["input_ids"]
    assert tokenizer.tokenize(f"{TEXT[0]}<b>")[-1] == "<b>"


def test_numbers_of_tokens_are_made_true(tmp_path):
    """The configuration comes from one model, and the tokens from another that numbers them otherwise."""
    write_model(tmp_path / "a", bpe(50, OTHER_TEXT, ("</s>", "<pad>", "<s>")), 1, bos_token="<s>", eos_token="</s>")
    write_model(tmp_path / "b", bpe(), 2, bos_token="<s>", eos_token="</s>")
    write_json(tmp_path / "a" / "config.json", settings(tmp_path / "a") | {"pad_token_id": 1, "eos_token_id": [0, 2]})
    out = run(tmp_path, 'a = model("./a")\nb = model("./b")\nsave mean(a, b) to "out" with tokenizer=b')
    found = settings(out)
    assert (found["bos_token_id"], found["eos_token_id"], found["pad_token_id"]) == (0, [1, 0], None)
    assert found["vocab_size"] == len(vocabulary(out)) == 60


@pytest.mark.parametrize(("one", "other"), [("bpe", "unigram"), ("unigram", "wordpiece"), ("wordpiece", "bpe")])
def test_the_tokenizer_of_one_model_among_models_of_other_kinds(one, other, tmp_path):
    write_model(tmp_path / "a", KINDS[one](), 1)
    write_model(tmp_path / "b", KINDS[other](50, OTHER_TEXT), 2)
    (tmp_path / "b" / "config.json").write_bytes((tmp_path / "a" / "config.json").read_bytes())
    out = run(tmp_path, 'a = model("./a")\nb = model("./b")\nsave mean(a, b) to "out" with tokenizer=a')
    loaded(out)
    assert (out / "tokenizer.json").read_bytes() == (tmp_path / "a" / "tokenizer.json").read_bytes()
    a, b, found = (rows(folder) for folder in (tmp_path / "a", tmp_path / "b", out))
    assert a.keys() == found.keys() != b.keys() & a.keys() != set()
    for token, row in found.items():
        assert torch.equal(row, (a[token] + b[token]) / 2 if token in b else a[token]), token
