"""Every mistake in a recipe is explained at its place; the whole text is compared."""

from pathlib import Path

import pytest

from mergegraph.diagnostics import MergeGraphError
from mergegraph.recipe.resolve import resolve
from mergegraph.syntax.parse import parse

FIXTURES = Path(__file__).parent.parent / "fixtures" / "errors"


def no_imports(path):
    raise FileNotFoundError(2, "No such file or directory", path)


@pytest.mark.parametrize("path", sorted(FIXTURES.glob("*.merge")), ids=lambda path: path.stem)
def test_error(path, check_text):
    with pytest.raises(MergeGraphError) as caught:
        resolve(parse(path.read_text(), path.name), no_imports)
    assert caught.value.exit_code == 2
    assert all(found.help and found.labels for found in caught.value.diagnostics)
    check_text(path.with_suffix(".txt"), f"{caught.value}\n")
