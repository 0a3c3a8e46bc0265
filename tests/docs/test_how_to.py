"""Run the worked examples of the how-to pages as they are printed there."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import references as ref
import tokenized
import torch
from families import as64, make_family, read_model

from mergegraph.cli.app import run
from mergegraph.ops import OPS

PAGES = Path(__file__).parent.parent.parent / "docs" / "how-to"
BLOCK = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page, language):
    """Return the code blocks of a page in one language."""
    return [text for found, text in BLOCK.findall((PAGES / page).read_text("utf-8")) if found == language]


@pytest.fixture
def models(tmp_path, monkeypatch):
    """Make the models that the pages speak of, in the current folder, and return their tensors."""
    make_family(tmp_path, models=("base", "a", "b"), dtype="float32")
    monkeypatch.chdir(tmp_path)
    return [{n: as64(t) for n, t in read_model(tmp_path / name).items()} for name in ("base", "a", "b")]


def commands(page):
    """Run the commands of a page."""
    for line in "".join(blocks(page, "console")).splitlines():
        words = line.removeprefix("$ mergegraph ").split()
        assert run(words) == 0, line


def test_own_method(models):
    recipe, only = blocks("own-method.md", "mergegraph")
    Path("consensus.merge").write_text(recipe)
    commands("own-method.md")
    base, a, b = models
    for name, tensor in read_model(Path("consensus")).items():
        d, e = (ref.difference(x[name], base[name]) for x in (a, b))
        apart = ref.trim(d, 0.1) + ref.trim(e, 0.1)
        expected = base[name] + np.where(np.sign(d) == np.sign(e), (d + e) / 2, apart)
        ref.assert_close(tensor, expected, [base[name], d, e], name=name)
    whole = read_model(Path("consensus"))
    Path("only.merge").write_text(recipe.partition("save")[0] + only)
    assert run(["run", "only.merge"]) == 0
    for name, tensor in read_model(Path("only-mlp")).items():
        if ".mlp." in name:
            assert not np.array_equal(as64(tensor), base[name])
        else:
            assert np.array_equal(as64(tensor), base[name])
    assert whole.keys() == read_model(Path("only-mlp")).keys()


def test_own_operation(models, capsys):
    (code,) = blocks("own-operation.md", "python")
    (recipe,) = blocks("own-operation.md", "mergegraph")
    Path("shrink.py").write_text(code)
    Path("shrink.merge").write_text(recipe)
    try:
        for line in "".join(blocks("own-operation.md", "console")).splitlines():
            OPS.pop("shrink", None)
            assert run(line.removeprefix("$ mergegraph ").split()) == 0, line
    finally:
        OPS.pop("shrink", None)
    assert "Shrink every change towards zero" in capsys.readouterr().out
    base, a, b = models
    for name, tensor in read_model(Path("shrunk")).items():
        layer = re.search(r"layers\.(\d)", name)
        by = np.float32([0.0005, 0.002][int(layer[1])] if layer else 0.0).astype(float)
        ds = [ref.difference(x[name], base[name]) for x in (a, b)]
        expected = base[name] + sum(np.sign(d) * np.maximum(np.abs(d) - by, 0) for d in ds)
        ref.assert_close(tensor, expected, [base[name], *ds], name=name)
    shutil.rmtree("shrunk")


def test_see_the_graph(models):
    (recipe,) = blocks("see-the-graph.md", "mergegraph")
    Path("ties.merge").write_text(recipe)
    commands("see-the-graph.md")
    written = {path.name: path.read_text() for path in Path().iterdir() if path.is_file()}
    assert sorted(written) == [
        "q_proj.svg",
        "small.html",
        "ties.dot",
        "ties.html",
        "ties.merge",
        "ties.mmd",
        "ties.svg",
    ]
    assert '"budget_bytes":4000000000' in written["small.html"]
    images = re.findall(r"\]\((images/[^)]+)\)", (PAGES / "see-the-graph.md").read_text("utf-8"))
    assert all((PAGES / image).read_bytes().startswith(b"\x89PNG") for image in images)
    assert len(images) == 2


def test_tokenizers(tmp_path, monkeypatch):
    plain = tokenized.bpe()
    chat = tokenized.extended(plain, special=["<|im_end|>"])
    tokenized.write_model(tmp_path / "base", plain, 0)
    tokenized.write_model(tmp_path / "chat", chat, 1)
    tokenized.write_model(tmp_path / "code", tokenized.extended(plain, special=["<|code|>"]), 2)
    (tmp_path / "chat" / "chat_template.jinja").write_text("{{ messages }}")
    monkeypatch.chdir(tmp_path)
    whole, second = blocks("tokenizers.md", "mergegraph")
    Path("recipe.merge").write_text(whole)
    assert run(["run", "recipe.merge", "out"]) == 0
    assert len(tokenized.vocabulary(tmp_path / "out")) == 62
    assert read_model(tmp_path / "out")[tokenized.EMBEDDING].shape == (64, 4)
    Path("second.merge").write_text(whole.split("save")[0] + second)
    assert run(["run", "second.merge", "second"]) == 0
    rows = tokenized.rows(tmp_path / "second")
    assert torch.equal(rows["<|end|>"], tokenized.rows(tmp_path / "chat")["<|im_end|>"])
    assert not rows["<unused>"].any()
