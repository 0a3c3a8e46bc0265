"""Make small models with real tokenizers, trained by the tokenizers library, and the loaders' own weights."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

TEXT = (
    "the quick brown fox jumps over the lazy dog",
    "hello world, this is a test of tokenizers",
    "merging models is fun and the weights are averaged",
)
OTHER_TEXT = ("completely different corpus about cats, dogs & 0123456789 numbers", "the other cats are not averaged")

EMBEDDING = "model.embed_tokens.weight"
HEAD = "lm_head.weight"


def bpe(size: int = 60, text: Sequence[str] = TEXT, special: Sequence[str] = ("<s>", "</s>")) -> Tokenizer:
    """Return a byte-level BPE tokenizer."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=list(special), show_progress=False)
    tokenizer.train_from_iterator(text * 5, trainer)
    return tokenizer


def wordpiece(size: int = 60, text: Sequence[str] = TEXT, special: Sequence[str] = ("[PAD]", "[UNK]")) -> Tokenizer:
    """Return a WordPiece tokenizer."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(vocab_size=size, special_tokens=list(special), show_progress=False)
    tokenizer.train_from_iterator(text * 5, trainer)
    return tokenizer


def unigram(size: int = 60, text: Sequence[str] = TEXT, special: Sequence[str] = ("<pad>", "<unk>")) -> Tokenizer:
    """Return a unigram tokenizer."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=size, special_tokens=list(special), unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(text * 5, trainer)
    return tokenizer


def extended(tokenizer: Tokenizer, plain: Iterable[str] = (), special: Iterable[str] = ()) -> Tokenizer:
    """Return a copy with tokens added: first the special ones."""
    found = Tokenizer.from_str(tokenizer.to_str())
    found.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    found.add_tokens(list(plain))
    return found


def write_model(
    folder: Path, tokenizer: Tokenizer, seed: int, *, padding: int = 0, tied: bool = False, **special: str
) -> Path:
    """Write a Llama of one layer of random float32 numbers, with `padding` rows more than there are tokens."""
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)
    named = {f"{key}_id": tokenizer.token_to_id(token) for key, token in special.items()}
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size() + padding,
        hidden_size=4,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
        tie_word_embeddings=tied,
        dtype="float32",
        **named,
    )
    model = LlamaForCausalLM(config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    tensors = {name: t.clone() for name, t in model.state_dict().items() if not (tied and name == HEAD)}
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    config.architectures = ["LlamaForCausalLM"]
    config.save_pretrained(folder)
    return folder


def vocabulary(folder: Path) -> dict[str, int]:
    """Return the tokens of a model's folder with their numbers."""
    return Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab(with_added_tokens=True)


def rows(folder: Path, tensor: str = EMBEDDING) -> dict[str, torch.Tensor]:
    """Return the row of every token in a vocabulary matrix."""
    matrix = load_file(folder / "model.safetensors")[tensor]
    return {token: matrix[number] for token, number in vocabulary(folder).items() if number < len(matrix)}


def settings(folder: Path, name: str = "config.json") -> Mapping[str, object]:
    """Return a configuration."""
    return dict(json.loads((folder / name).read_text()))
