"""What YAML means, as the text that `mergegraph import` prints; the text means the same."""

from dataclasses import replace
from pathlib import Path

import pytest

from mergegraph.cli.app import run
from mergegraph.diagnostics import Source, render
from mergegraph.recipe.resolve import resolve
from mergegraph.syntax.format import format_recipe
from mergegraph.syntax.parse import parse
from mergegraph.syntax.yaml.recipe import read_yaml

FIXTURES = Path(__file__).parent.parent / "fixtures" / "yaml"
CONFIGURATIONS = sorted((FIXTURES / "import").glob("*.yml"))
GOLDEN = sorted((FIXTURES.parent / "mergekit").glob("*.yml"))


def no_imports(path):
    raise FileNotFoundError(2, "No such file or directory", path)


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda path: path.stem)
def test_imported_text(path, check_text):
    read = read_yaml(Source(path.name, path.read_text()))
    warnings = "".join(f"\n{render(warning)}\n" for warning in read.warnings)
    commented = "".join(f"# {line}".rstrip() + "\n" for line in warnings.splitlines())
    check_text(path.with_suffix(".merge"), format_recipe(read.syntax) + commented)


@pytest.mark.parametrize("path", [*CONFIGURATIONS, *GOLDEN], ids=lambda path: path.stem)
def test_the_text_means_the_same(path):
    syntax = read_yaml(Source(path.name, path.read_text())).syntax
    text = format_recipe(syntax)
    written, imported = resolve(syntax, no_imports), resolve(parse(text, "imported.merge"), no_imports)
    here = written.saves[0].span
    assert [replace(s, span=here) for s in written.saves] == [replace(s, span=here) for s in imported.saves]
    assert (written.seed, written.models, written.optional) == (imported.seed, imported.models, imported.optional)
    assert format_recipe(parse(text, "imported.merge")) == text


def test_every_place_is_in_the_yaml():
    path = FIXTURES / "import" / "native.yml"
    source = Source(path.name, path.read_text())
    recipe = resolve(read_yaml(source).syntax, no_imports)
    for node, span in recipe.spans.items():
        assert span.source is source, node
        assert 0 <= span.start < span.end <= len(source.text)
    written = {span.text for span in recipe.spans.values()}
    assert {'model("./base")', r"model(\"./math\")", "slerp(a, b, t=t)"} <= written


def test_the_command(capsys):
    assert run(["import", str(FIXTURES / "import" / "frankenmerge.yml")]) == 0
    assert capsys.readouterr().out == (FIXTURES / "import" / "frankenmerge.merge").read_text()


def test_the_command_says_what_is_not_used(capsys):
    assert run(["import", str(FIXTURES / "import" / "unused_parameters.yml")]) == 0
    assert "warning[MG163]: `t` is not a parameter of one model; it is not used" in capsys.readouterr().err
