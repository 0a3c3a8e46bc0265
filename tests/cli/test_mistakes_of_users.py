"""Mistakes that people make with recipes, models and outputs: the whole text that they see, with a way out of each."""

import json
import re
import shutil
from pathlib import Path

import pytest
from families import make_family

from mergegraph.cli.app import run

FIXTURES = Path(__file__).parent.parent / "fixtures" / "mistakes"
MISTAKES = sorted(path for path in FIXTURES.iterdir() if path.suffix in (".merge", ".yml"))
RUN = ("output_is_an_input", "output_in_an_input", "output_exists")
WARNINGS = ("gradient_too_long", "select_case_unreachable", "select_default_unreachable")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A folder with three tunes of a base, and everything that a model should not be."""
    folder = tmp_path_factory.mktemp("mistakes")
    make_family(folder)
    make_family(folder, models=["wide"], hidden=48)
    make_family(folder, models=["more-words"], vocab=72)
    make_family(folder, models=["short"], layers=1)
    make_family(folder, models=["half", "cut", "quantized"], shards=2)
    (folder / "half" / "model-00002-of-00002.safetensors").unlink()
    cut = folder / "cut" / "model-00001-of-00002.safetensors"
    cut.write_bytes(cut.read_bytes()[:-1000])
    config = folder / "quantized" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"quantization_config": {"quant_method": "gptq"}}))
    for name, file, text in (
        ("pickled", "pytorch_model.bin", "PK"),
        ("pointer", "model.safetensors", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"),
        ("empty", ".gitkeep", ""),
        ("taken", "notes.txt", ""),
    ):
        (folder / name).mkdir()
        (folder / name / file).write_text(text)
    for path in MISTAKES:
        shutil.copy(path, folder)
    return folder


@pytest.mark.parametrize("path", MISTAKES, ids=lambda path: path.stem)
def test_mistake(path, models, monkeypatch, capsys, check_text):
    monkeypatch.chdir(models)
    code = run(["run" if path.stem in RUN else "check", path.name])
    assert (code != 0) == (path.stem not in WARNINGS)
    printed = capsys.readouterr().err
    check_text(path.with_suffix(".txt"), printed)
    found = re.split(r"^(?=error|warning)", printed, flags=re.MULTILINE)[1:]
    assert found
    assert all("= help: " in text for text in found)
