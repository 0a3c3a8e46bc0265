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
    check_text(path.with_suffix(".txt"), f"{caught.value}\n")
