"""Tokenizers that do not fit into the memory are refused before they are read, or joined."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from merging import PROCESS_BYTES, compilation, run
from safetensors.torch import save_file

from mergegraph.diagnostics import MergeGraphError
from mergegraph.vocabulary.room import JOINING_BYTES

UNION = 'a = model("./a")\nb = model("./b")\nsave mean(a, b) to "out" with tokenizer=union(a, b)'
COUNT = 30_000


def write(folder: Path, tokenizer: str, rows: int = COUNT) -> None:
    folder.mkdir()
    (folder / "tokenizer.json").write_text(tokenizer)
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", "vocab_size": rows}))
    save_file({"model.embed_tokens.weight": torch.randn(rows, 2)}, folder / "model.safetensors")


def words(name: str) -> list[str]:
    return ["<unk>", *(f"{name}{number:09}" for number in range(COUNT - 1))]


def tokenizer(kind: str, name: str) -> str:
    """Return a tokenizer that has `COUNT` tokens, all but the first few its own."""
    fields: dict[str, object]
    if kind == "Unigram":
        fields = {"unk_id": 0, "vocab": [[word, -0.1 * number] for number, word in enumerate(words(name))]}
    elif kind == "WordPiece":
        fields = {"unk_token": "<unk>", "continuing_subword_prefix": "##", "max_input_chars_per_word": 99}
        fields["vocab"] = {word: number for number, word in enumerate(words(name))}
    else:
        letters = [chr(0x4E00 + number) for number in range(180)]
        pairs = [(name + one, other) for one in letters for other in letters][: COUNT - 541]
        pieces = [name, *letters, *(name + one for one in letters)]
        merges = [*((name, one) for one in letters), *pairs]
        vocab = dict.fromkeys([*pieces, *(one + other for one, other in pairs), *(f"{name}x{i}" for i in range(COUNT))])
        fields = {"merges": merges, "vocab": {piece: number for number, piece in enumerate(list(vocab)[:COUNT])}}
    return json.dumps({"version": "1.0", "added_tokens": [], "model": {"type": kind, **fields}})


def refusal(folder: Path, memory: int) -> str:
    with pytest.raises(MergeGraphError) as caught:
        compilation(folder, UNION).plan(memory)
    assert caught.value.exit_code == 4
    return str(caught.value).replace(str(folder), "…")


def test_what_is_too_large_is_not_read(tmp_path):
    write(tmp_path / "a", tokenizer("WordPiece", "a"))
    write(tmp_path / "b", "no tokenizer" * 500_000)
    assert refusal(tmp_path, PROCESS_BYTES + 40_000_000) == (
        "error[MG402]: there is too little memory to read the tokenizers of this merge: 340 MB\n"
        "  --> …/b/tokenizer.json\n"
        "  ┌─ test.merge:3:1\n"
        '3 │ save mean(a, b) to "out" with tokenizer=union(a, b)\n'
        "  │ ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ for this output\n"
        "  = help: give it `--memory 352MB` or more: 6.62 MB of text are in memory then\n"
        "  = help: or name one model whose tokens are kept: `save … with tokenizer=base`"
    )
    with pytest.raises(MergeGraphError, match="MG506"):
        compilation(tmp_path, UNION).plan(PROCESS_BYTES + 400_000_000)


@pytest.mark.parametrize("kind", ["BPE", "Unigram", "WordPiece"])
def test_tokenizers_are_joined_within_what_is_named(tmp_path, kind):
    for name in "ab":
        write(tmp_path / name, tokenizer(kind, name))
    need = 2 * COUNT * JOINING_BYTES[kind.encode()]
    assert f"`--memory {(PROCESS_BYTES + need) // 1_000_000}MB`" in refusal(tmp_path, PROCESS_BYTES + need - 1_000_000)
    (tmp_path / "r.merge").write_text(UNION)
    child = subprocess.run([sys.executable, "-c", MEASURED, tmp_path / "r.merge"], capture_output=True, check=True)
    assert 0.3 * need < int(child.stdout) < need, int(child.stdout) / need


MEASURED = """
import sys
from pathlib import Path
from mergegraph.compiler import read_recipe
from mergegraph.machine import peak_resident_bytes, resident_bytes

found = read_recipe(Path(sys.argv[1]))
found.checkpoints
import mergegraph.vocabulary.align, mergegraph.vocabulary.union, tokenizers
before = resident_bytes()
assert len(found.alignments.saves[0].joined.ids) > 30_000
print(peak_resident_bytes() - before)
"""


def test_equal_tokenizers_count_once(tmp_path):
    text = tokenizer("WordPiece", "a") + " " * 2_000_000
    for name in "ab":
        write(tmp_path / name, text)
    run(tmp_path, UNION, tmp_path / "out", memory=PROCESS_BYTES + 100_000_000)
    assert (tmp_path / "out" / "tokenizer.json").read_text() == text
