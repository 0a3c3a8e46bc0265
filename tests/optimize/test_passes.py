from collections.abc import Callable
from pathlib import Path

import pytest
from pairs import joined, read_input

from mergegraph.ir.graph import Graph, compact, rebound
from mergegraph.ir.text import parse_graph, print_graph
from mergegraph.optimize.pipeline import Pass, passes
from mergegraph.optimize.verify import verify

FIXTURES = Path(__file__).parent.parent / "fixtures" / "passes"
PATHS = sorted(FIXTURES.glob("*.graph"))


def run(graph: Graph, step: Pass) -> Graph:
    return rebound(graph, {root: compact(step.run(root)) for root in graph.templates()})


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_pass(path: Path, check_text: Callable[[Path, str], None]) -> None:
    """Run the pass that the file is named after on the graph above the line, and compare with the graph below it."""
    step = {step.name: step for step in passes()}[path.stem.partition(".")[0]]
    given = read_input(path)
    before = parse_graph(given, path.name)
    verify(before, "reading")
    after = run(before, step)
    verify(after, step.name)
    check_text(path, joined(given, print_graph(after)))


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_pass_has_nothing_left_to_do_on_its_own_result(path: Path) -> None:
    step = {step.name: step for step in passes()}[path.stem.partition(".")[0]]
    once = run(parse_graph(read_input(path)), step)
    assert run(once, step) == once


def test_every_pass_has_a_fixture() -> None:
    assert {step.name for step in passes()} == {path.stem.partition(".")[0] for path in PATHS}
