"""Tokens have the numbers that the tokenizers library gives them, however its file is written."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenized import bpe, extended, unigram, wordpiece
from tokenizers import Tokenizer

from mergegraph.diagnostics import MergeGraphError
from mergegraph.vocabulary.tokens import read_tokenizer

KINDS = {kind.__name__: json.loads(kind().to_str()) for kind in (bpe, unigram, wordpiece)}
FLAGS = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)
entries = st.lists(
    st.tuples(st.sampled_from(["<a>", "<b>", "<c>", "the", "t", "<unk>"]), st.integers(0, 64)), max_size=4
)


@given(st.sampled_from(sorted(KINDS)), entries)
def test_added_tokens_of_any_numbers(kind, added):
    """The library gives tokens other numbers than their entries say where these leave gaps or are taken."""
    entries = [{"id": number, "content": token, **FLAGS} for token, number in added]
    text = json.dumps({**KINDS[kind], "added_tokens": entries}).encode()
    try:
        wanted = Tokenizer.from_buffer(text).get_vocab(with_added_tokens=True)
    except BaseException:
        with pytest.raises(MergeGraphError):
            read_tokenizer(Path("tokenizer.json"), text)
    else:
        assert read_tokenizer(Path("tokenizer.json"), text) == wanted


def test_usual_tokenizers_are_read_without_the_library(monkeypatch):
    """It takes several times the memory."""
    tokenizers = [extended(kind(), plain=["zebra"], special=["<s>", "<|end|>"]) for kind in (bpe, unigram, wordpiece)]
    wanted = [tokenizer.get_vocab(with_added_tokens=True) for tokenizer in tokenizers]
    monkeypatch.delattr("tokenizers.Tokenizer")
    assert [read_tokenizer(Path("tokenizer.json"), t.to_str().encode()) for t in tokenizers] == wanted
