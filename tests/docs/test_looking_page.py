"""Run the page on looking at models as it is printed."""

from pathlib import Path

from families import make_family
from snippets import ROOT, run_page
from test_adapters_page import write_adapter

from mergegraph.cli.app import run

RECIPE = 'base = model("./base")\nsave ties(model("./a"), model("./b"), base=base, density={}) to "out/ties"\n'


def test_looking_page(tmp_path, monkeypatch, capsys):
    make_family(tmp_path, models=("base", "a", "b"))
    write_adapter(
        tmp_path / "adapter", [f"model.layers.{i}.self_attn.{kind}_proj" for i in (0, 1) for kind in "oq"], 32, 0
    )
    monkeypatch.chdir(tmp_path)
    Path("old.merge").write_text(RECIPE.format("0.5"))
    Path("new.merge").write_text(RECIPE.format('select { "*.mlp.*": 0.4, _: 0.5 }'))
    assert run(["run", "old.merge"]) == 0
    shown = []

    def printed():
        shown.extend(capsys.readouterr())
        return "".join(shown[-2:])

    run_page(ROOT / "docs" / "how-to" / "look-at-models.md", printed)
    assert "6 tensors made differently" in "".join(shown)
    assert Path("heat.html").read_text().startswith("<!doctype html>")
