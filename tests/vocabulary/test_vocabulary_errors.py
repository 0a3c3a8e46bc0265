"""What is wrong with tokens is found before anything is merged, and said in full."""

import json

import pytest
import torch
from merging import compilation
from safetensors.torch import save_file
from tokenized import OTHER_TEXT, bpe, extended, unigram, vocabulary, write_model

from mergegraph.diagnostics import MergeGraphError, render
from mergegraph.ir.print import print_graph
from mergegraph.ir.text import parse_graph


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Write models whose vocabularies differ in size, in order alone, in kind, and one whose tokenizer is broken."""
    folder = tmp_path_factory.mktemp("errors")
    write_model(folder / "base", bpe(), 0)
    write_model(folder / "more", extended(bpe(), special=["<|end|>"]), 1)
    write_model(folder / "padded", bpe(), 2, padding=4)
    write_model(folder / "pieces", unigram(50, OTHER_TEXT), 3)
    for name in ("swapped", "broken", "none"):
        write_model(folder / name, bpe(), 4)
    path = folder / "swapped" / "tokenizer.json"
    text = json.loads(path.read_text())
    ids = text["model"]["vocab"]
    ids["he"], ids["er"] = ids["er"], ids["he"]
    path.write_text(json.dumps(text))
    (folder / "broken" / "tokenizer.json").write_text('{"version": "1.0", "model": {"type": "BPE\\u001b[31m"}}')
    for path in (folder / "none").glob("tokenizer*"):
        path.unlink()
    return folder


def error(models, one, other, save):
    """Return the error of checking a recipe, with the folder of the models left out."""
    with pytest.raises(MergeGraphError) as caught:
        compilation(models, f'a = model("./{one}")\nb = model("./{other}")\n{save}').warnings()
    return str(caught.value).replace(str(models), "…")


def test_tokens_that_only_changed_places_are_noticed(models):
    assert error(models, "base", "swapped", 'save mean(a, b) to "out"') == (
        "error[MG340]: the vocabulary of `b` is not that of `a`: "
        "2 tokens have other numbers in it (`er`, `he`)\n"
        "  ┌─ test.merge:2:5\n"
        '2 │ b = model("./swapped")\n'
        "  │     ^^^^^^^^^^^^^^^^^^ this model\n"
        '3 │ save mean(a, b) to "out"\n'
        "  │ ^^^^^^^^^^^^^^^^^^^^^^^^ is merged with others here\n"
        "  = help: keep the tokens of one model: `save … with tokenizer=a`\n"
        "  = help: or those of all: `save … with tokenizer=union(a, b)`"
    )


@pytest.mark.parametrize(
    ("one", "other", "reason"),
    [
        ("base", "more", "1 of its tokens is not there (`<|end|>`)"),
        ("more", "base", "1 token is missing in it (`<|end|>`)"),
        ("base", "padded", "it has 64 rows for them, not 60"),
    ],
)
def test_vocabularies_that_differ(models, one, other, reason):
    first, *_ = error(models, one, other, 'save mean(a, b) to "out"').splitlines()
    assert first == f"error[MG340]: the vocabulary of `b` is not that of `a`: {reason}"


@pytest.mark.parametrize("tokenizer", ["a", "b", "union(a)", "union(a, b)", "union(a, b, base=b)"])
def test_one_is_chosen(models, tokenizer):
    text = f'a = model("./base")\nb = model("./more")\nsave mean(a, b) to "out" with tokenizer={tokenizer}'
    (tensor,) = [t for t in compilation(models, text).graph.tensors if t.name == "lm_head.weight"]
    rows = 60 if tokenizer in ("a", "union(a)") else 61
    assert tensor.root.tensor.shape == (rows, 4)
    assert len(vocabulary(models / "more")) == 61


def test_a_broken_tokenizer(models):
    first, rest = error(models, "base", "broken", 'save mean(a, b) to "out"').split("\n", 1)
    # What the tokenizers library says follows, in other words in every version.
    assert first.startswith("error[MG341]: the tokenizer can't be read: ")
    assert rest == (
        "  --> …/broken/tokenizer.json\n"
        "  ┌─ test.merge:3:1\n"
        '3 │ save mean(a, b) to "out"\n'
        "  │ ^^^^^^^^^^^^^^^^^^^^^^^^ for this output\n"
        '  = help: name a model whose tokenizer is to be taken: `save … with tokenizer="base"`'
    )


def test_no_tokenizer(models):
    assert error(models, "base", "none", 'save mean(a, b) to "out" with tokenizer=union(a, b)') == (
        "error[MG341]: `b` has no tokenizer that can be read\n"
        "  ┌─ test.merge:2:5\n"
        '2 │ b = model("./none")\n'
        "  │     ^^^^^^^^^^^^^^^\n"
        "  = help: put its `tokenizer.json` beside its weights"
    )


def test_a_union_of_kinds_is_warned_of(models):
    text = 'a = model("./base")\nb = model("./pieces")\nsave mean(a, b) to "out" with tokenizer=union(a, b)'
    assert "\n".join(map(render, compilation(models, text).warnings())) == (
        "warning[MG354]: 20 tokens of a Unigram tokenizer can't be made by the BPE tokenizer of this output: they have "
        "rows, and text hardly ever comes to them\n"
        "  ┌─ test.merge:3:1\n"
        '3 │ save mean(a, b) to "out" with tokenizer=union(a, b)\n'
        "  │ ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ for this output\n"
        "  = help: take the tokenizer of one model: `tokenizer=base`; others give rows of tokens that they have, too\n"
        '  = help: what another writes otherwise has a row by `tokens=[token("Ġthe", other, of="▁the")]`'
    )


def test_a_token_without_a_row(models):
    save = 'save mean(a, b) to "out" with tokenizer=union(a, b, tokens=[token("<new>", b, of="<|ende|>")])'
    assert error(models, "base", "more", save) == (
        "error[MG343]: `b` has no row for the token `<|ende|>`\n"
        "  ┌─ test.merge:3:61\n"
        f"3 │ {save}\n"
        "  │ " + " " * 60 + "^" * 32 + "\n"
        "  = help: did you mean `<|end|>`?\n"
        '  = help: name a token that it has: `token("<new>", a, of="<s>")`, or `none` for zeros'
    )


def piece(text):
    """Return a piece of a SentencePiece model: its text, its score and its kind."""
    inner = b"\x0a" + bytes([len(text)]) + text + b"\x15\x00\x00\x80\xbf\x18\x01"
    return b"\x0a" + bytes([len(inner)]) + inner


def test_other_files_of_vocabularies(models, tmp_path):
    """All of them say the same: nothing differs between models that have it in one file and in another."""
    words = ["<unk>", "the", "▁fox"]
    files = {
        "list": {"vocab.txt": "\n".join(words).encode()},
        "map": {"vocab.json": b'{"the": 1, "<unk>": 0}', "added_tokens.json": '{"▁fox": 2}'.encode()},
        "pieces": {"tokenizer.model": b"".join(piece(word.encode()) for word in words) + b"\x12\x02\x18\x01"},
        "bad": {"tokenizer.model": b"IQ== 0\nIg== 1\n"},
    }
    for name, contents in files.items():
        (tmp_path / name).mkdir()
        for file, data in contents.items():
            (tmp_path / name / file).write_bytes(data)
        save_file({"lm_head.weight": torch.zeros(3, 4)}, tmp_path / name / "model.safetensors")
    text = 'a = model("./{}")\nb = model("./{}")\nsave mean(a, b) to "out"'
    for other in ("map", "pieces"):
        assert compilation(tmp_path, text.format("list", other)).warnings() == ()
    with pytest.raises(MergeGraphError, match="it is no SentencePiece model"):
        compilation(tmp_path, text.format("list", "bad")).warnings()


def test_graphs_of_gathered_rows_are_read_back(models):
    text = 'a = model("./base")\nb = model("./more")\nsave mean(a, b) to "out" with tokenizer=union(a, b)'
    printed = print_graph(compilation(models, text).graph)
    assert "gather_rows" in printed
    assert print_graph(parse_graph(printed)) == printed
