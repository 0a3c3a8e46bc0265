"""Run the commands of the page on looking at models."""

from pathlib import Path

from families import make_family
from test_how_to import commands

from mergegraph.cli.app import run

RECIPE = 'base = model("./base")\nsave ties(model("./a"), model("./b"), base=base, density={}) to "out/ties"\n'


def test_looking_page(tmp_path, monkeypatch, capsys):
    make_family(tmp_path, models=("base", "a", "b"))
    monkeypatch.chdir(tmp_path)
    Path("old.merge").write_text(RECIPE.format("0.5"))
    Path("new.merge").write_text(RECIPE.format('select { "*.mlp.*": 0.4, _: 0.5 }'))
    assert run(["run", "old.merge"]) == 0
    commands("look-at-models.md")
    assert "6 tensors made differently" in capsys.readouterr().out
    assert Path("heat.html").read_text().startswith("<!doctype html>")
