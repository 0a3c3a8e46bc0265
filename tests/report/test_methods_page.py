"""What `mergegraph methods` tells, and the reference page that is made of it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mergegraph.diagnostics import MergeGraphError
from mergegraph.report.methods import catalogue, describe_method, methods_page

PAGE = Path(__file__).parent.parent.parent / "docs" / "reference" / "methods.md"


def test_the_reference_page_is_fresh(check_text: Callable[[Path, str], None]) -> None:
    check_text(PAGE, methods_page())


def test_a_method() -> None:
    assert describe_method("ties") == (
        "method ties(*models, base, weight=1, density=1, normalize=true, lambda=1)\n"
        "\n"
        "TIES: trim each task vector, elect a sign per weight, average what agrees.\n"
        "\n"
        "formula    b + λ · elect(trim(dᵢ, density), wᵢ)\n"
        "paper      arXiv:2306.01708\n"
        "made of    add, multiply, elect, trim, subtract\n"
        "\n"
        "fn ties(*models, base, weight=1, density=1, normalize=true, lambda=1) =\n"
        "    base + lambda * elect(trim(models - base, density), weight, normalize=normalize)"
    )


def test_an_operation() -> None:
    assert describe_method("sum") == (
        "operation sum(x: Point) -> Stat\n"
        "\n"
        "Add up all elements, in float64, over blocks of fixed size in index order.\n"
        "\n"
        "needs      a pass over the tiles, then pointwise"
    )


@pytest.mark.parametrize("entry", catalogue(), ids=lambda entry: entry.name)
def test_every_entry_says_what_it_is(entry) -> None:
    assert entry.summary.endswith(".")
    assert len(entry.summary) <= 100
    if entry.kind == "method":
        assert entry.formula
        assert entry.definition
        assert entry.uses


def test_helpers_of_the_prelude_are_not_listed() -> None:
    assert not [entry.name for entry in catalogue() if entry.name.startswith("_")]
    with pytest.raises(MergeGraphError):
        describe_method("_sce_fused")
