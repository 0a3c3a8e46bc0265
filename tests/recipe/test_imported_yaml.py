"""Recipes in YAML are imported like those in the language; what was imported is written down."""

import json

import torch
from families import make_family
from merging import merged, run

from mergegraph.cli.app import run as command

CONFIGURATION = """\
name: stew
merge_method: linear
models:
  - {model: ./a, parameters: {weight: 1}}
  - {model: ./b, parameters: {weight: 3}}
"""
NATIVE = """\
fn: {half(x): "mean(x, b)"}
let: {b: model("./b")}
save: {value: b, to: unused}
"""


def test_a_mergekit_configuration_gives_its_merge(tmp_path):
    make_family(tmp_path, models=("a", "b"))
    (tmp_path / "stew.yml").write_text(CONFIGURATION)
    found = merged(tmp_path, 'import "stew.yml"\nsave stew to "out"', tmp_path / "out")
    direct = 'save linear(model("./a"), model("./b"), weight=[1, 3]) to "out"'
    expected = merged(tmp_path, direct, tmp_path / "direct")
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_recipe_as_a_map_gives_its_functions_and_bindings(tmp_path):
    make_family(tmp_path, models=("a", "b"))
    (tmp_path / "own.yaml").write_text(NATIVE)
    run(tmp_path, 'import "own.yaml"\nsave half(model("./a")) to "out"', tmp_path / "out")
    manifest = json.loads((tmp_path / "out" / "mergegraph.json").read_text())
    assert manifest["recipe"]["imports"]["own.yaml"]["text"] == NATIVE
    assert {path.name for path in tmp_path.iterdir()} == {"a", "b", "own.yaml", "out"}


def test_mistakes_in_an_imported_configuration_have_its_lines(tmp_path, capsys):
    (tmp_path / "stew.yml").write_text(CONFIGURATION.replace("linear", "lineal"))
    (tmp_path / "r.merge").write_text('import "stew.yml"\nsave stew to "out"')
    assert command(["check", str(tmp_path / "r.merge")]) == 2
    assert "stew.yml:2:15" in capsys.readouterr().err
