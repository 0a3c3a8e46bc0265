"""Every mistake in a YAML recipe is shown at its place in the YAML; the whole text is compared."""

from pathlib import Path

import pytest

from mergegraph.diagnostics import MergeGraphError, Source
from mergegraph.recipe.resolve import resolve
from mergegraph.syntax.yaml.recipe import read_yaml

FIXTURES = Path(__file__).parent.parent / "fixtures" / "yaml"


def no_imports(path):
    raise FileNotFoundError(2, "No such file or directory", path)


@pytest.mark.parametrize("path", sorted((FIXTURES / "errors").glob("*.yml")), ids=lambda path: path.stem)
def test_error(path, check_text):
    with pytest.raises(MergeGraphError) as caught:
        resolve(read_yaml(Source(path.name, path.read_text())).syntax, no_imports)
    assert caught.value.exit_code == 2
    assert all(found.help and found.labels for found in caught.value.diagnostics)
    check_text(path.with_suffix(".txt"), f"{caught.value}\n")


MERGE = 'let: {base: model("./base")}\nsave: {value: base, to: out}\n'


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("fn: [a]", "fn: {half(x): 0.5 * x}"),
        ("fn: {half: x}", "half(x): 0.5 * x"),
        ("import: {a: b}", "import: methods.merge"),
        ("let: [a]", 'let: {base: model("./base")}'),
    ],
)
def test_what_is_offered_is_read(wrong, right):
    def read(text):
        return read_yaml(Source("recipe.yml", text))

    text = MERGE.split("\n", 1)[1] if wrong.startswith("let") else MERGE
    with pytest.raises(MergeGraphError) as caught:
        read(f"{wrong}\n{text}")
    assert f"`{right}`" in str(caught.value)
    read(f"{right}\n{text}" if right.startswith(wrong.split(":")[0]) else f"fn: {{{right}}}\n{text}")
