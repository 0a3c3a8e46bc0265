"""Every mistake is shown at its place, with what to do about it."""

import re
from pathlib import Path

import pytest

from mergegraph.diagnostics import MergeGraphError
from mergegraph.syntax.parse import parse

MISTAKES = sorted((Path(__file__).parents[1] / "fixtures" / "syntax" / "mistakes").glob("*.merge"))


@pytest.mark.parametrize("path", MISTAKES, ids=lambda path: path.stem)
def test_mistakes(path, check_text):
    with pytest.raises(MergeGraphError) as caught:
        parse(path.read_text(encoding="utf-8"), path.name)
    check_text(path.with_suffix(".errors"), f"{caught.value}\n")
    starts = [diagnostic.labels[0].span.start for diagnostic in caught.value.diagnostics]
    assert all(diagnostic.help for diagnostic in caught.value.diagnostics)
    assert starts == sorted(set(starts))
    assert caught.value.exit_code == 2


def test_each_code_means_one_thing_and_has_an_example():
    titles = {}
    for path in MISTAKES:
        for code, message in re.findall(r"^error\[(MG\d+)\]: (.*)$", path.with_suffix(".errors").read_text(), re.M):
            titles.setdefault(code, set()).add(re.sub(r"`[^`]*`", "…", message))
    assert set(titles) == {f"MG{n}" for n in (*range(101, 108), *range(109, 115), *range(117, 122))}
