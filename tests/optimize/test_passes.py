from collections.abc import Callable
from pathlib import Path

import pytest
from pairs import joined, read_input

from mergegraph.ir.graph import map_templates
from mergegraph.ir.text import parse_graph, print_graph
from mergegraph.optimize.pipeline import passes
from mergegraph.optimize.verify import verify

FIXTURES = Path(__file__).parent.parent / "fixtures" / "passes"
PATHS = sorted(FIXTURES.glob("*.graph"))


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_pass(path: Path, check_text: Callable[[Path, str], None]) -> None:
    """Run the pass that the file is named after on the graph above the line, and compare with the graph below it."""
    step = {step.name: step for step in passes()}[path.stem.partition(".")[0]]
    given = read_input(path)
    before = parse_graph(given, path.name)
    verify(before, "reading")
    after = map_templates(before, step.run)
    verify(after, step.name)
    check_text(path, joined(given, print_graph(after)))


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_pass_has_nothing_left_to_do_on_its_own_result(path: Path) -> None:
    step = {step.name: step for step in passes()}[path.stem.partition(".")[0]]
    once = map_templates(parse_graph(read_input(path)), step.run)
    assert map_templates(once, step.run) == once


def test_every_pass_has_a_fixture() -> None:
    assert {step.name for step in passes()} == {path.stem.partition(".")[0] for path in PATHS}
