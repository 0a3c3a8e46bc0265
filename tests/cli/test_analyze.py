"""`explain --analyze` runs the merge: its figures against what is on disk, and what stays."""

import json

import pytest
from families import make_family
from merging import run as merged

from mergegraph.cli.app import run

TEXT = """
base = model("{0}/base")
a = model("{0}/a")
b = model("{0}/b")
save base + trim(b - base, 0.3, scope="model") + trim(a - base, 0.4) to "/nowhere/out"
"""


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    make_family(tmp_path / "family", layers=2, hidden=16, intermediate=24, vocab=40, heads=2, kv_heads=1)
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "scoped.merge"
    path.write_text(TEXT.format(tmp_path / "family"))
    return path


@pytest.fixture
def explained(capsys):
    """Return what prints an explanation."""

    def explain(*arguments):
        assert run(["explain", *map(str, arguments)]) == 0
        return capsys.readouterr().out

    return explain


def test_json_has_what_every_unit_took_and_nothing_stays(recipe, tmp_path, explained):
    before = sorted(tmp_path.iterdir())
    found = json.loads(explained(recipe, "--analyze", "--format", "json"))
    measured, units = found["measured"], found["measured"]["units"]
    assert len(units) == found["units"] + sum(stage["units"] for stage in found["before"])
    assert len(found["before"]) == 2
    assert measured["bytes_read"] == found["bytes_read"] == sum(unit["bytes_read"] for unit in units)
    assert all(unit["bytes_read"] == unit["planned_bytes_read"] > 0 for unit in units)
    assert all(unit["seconds"] > 0 for unit in units)
    assert measured["bytes_written"] == found["bytes_written"] == sum(unit["bytes_written"] for unit in units)
    assert all(bool(unit["bytes_written"]) == bool(unit["writes"]) for unit in units)
    # The kernel counts the memory of threads a few pages late.
    assert max(unit["memory_bytes"] for unit in units) <= measured["peak_rss_bytes"] + 5_000_000
    assert sorted(tmp_path.iterdir()) == before


def test_text_and_page_show_it_and_an_output_that_is_named_stays(recipe, tmp_path, explained):
    text = explained(recipe, "--analyze", "--out", "kept")
    assert text.startswith(f"analysis of {recipe}\n\nseconds   ")
    assert ", before the others: `" in text
    merged(tmp_path, recipe.read_text(), tmp_path / "plain")
    assert (tmp_path / "kept/model.safetensors").read_bytes() == (tmp_path / "plain/model.safetensors").read_bytes()
    assert '"measured":' in explained(recipe, "--analyze", "--format", "html")


@pytest.mark.parametrize(
    "arguments", [["--out", "x"], ["--analyze", "--stage", "graph"], ["--analyze", "--tensor", "*"]]
)
def test_error_of_what_can_not_be_analyzed(recipe, arguments, capsys):
    assert run(["explain", str(recipe), *arguments]) == 2
    expected = "--analyze shows the whole plan as text, json or html; --out and --compile go with --analyze"
    assert expected in capsys.readouterr().err


def test_a_run_has_the_same_figures_beside_its_output(recipe, tmp_path, capsys):
    assert run(["run", str(recipe), "kept", "--json", "--analyze"]) == 0
    found = json.loads(capsys.readouterr().out)
    measured = found["measured"]
    assert found["bytes_read"] == measured["bytes_read"] == sum(unit["bytes_read"] for unit in measured["units"])
    assert (tmp_path / "kept/model.safetensors").exists()
    assert run(["run", str(recipe), "other", "--analyze"]) == 2
    assert "--analyze goes with --json; `mergegraph explain --analyze` shows it as text" in capsys.readouterr().err
