"""How units run is chosen by what it takes: compared with every other choice, and with rates counted by hand."""

from collections.abc import Sequence
from itertools import product

import pytest

from mergegraph.compiler import Compilation
from mergegraph.diagnostics import Source
from mergegraph.plan.plan import peak_bytes
from mergegraph.plan.planner import arrange
from mergegraph.plan.program import TILE, Program
from mergegraph.plan.strategy import Room, Seconds, Strategy, choose, seconds, strategy

LARGE = (4096, 1024)
ONCE_MORE = "slerp(a, b, t=0.3)"
OFTEN = "arcee_fusion(a, b)"
MUCH = 1 << 40


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """Return what gives the program of a merge of two matrices."""
    import torch
    from families import write_model

    folder = tmp_path_factory.mktemp("models")
    for name in "ab":
        write_model(folder / name, {"w": torch.zeros(LARGE, dtype=torch.bfloat16)})

    def of(expression: str) -> Program:
        text = f'a = model("./a")\nb = model("./b")\nsave {expression} to "out"'
        compiled = Compilation(Source("test.merge", text), folder)
        return arrange(compiled.optimized)[-1].programs[0]

    return of


def room(memory, cache):
    """Return what a worker may use where kernels run."""
    return Room(memory, cache, kernels=True)


def test_what_the_page_cache_holds_is_read_once_more_and_not_held(program):
    assert not strategy(program(ONCE_MORE), room(MUCH, MUCH)).resident


def test_what_is_looked_at_often_is_held(program):
    assert strategy(program(OFTEN), room(MUCH, MUCH)).resident


def test_what_would_come_from_storage_again_is_held_where_it_fits(program):
    inputs = 2 * 2 * LARGE[0] * LARGE[1]
    assert not strategy(program(ONCE_MORE), room(MUCH, inputs)).resident
    assert strategy(program(ONCE_MORE), room(MUCH, inputs - 1)).resident
    assert not strategy(program(ONCE_MORE), room(inputs, 0)).resident


def test_a_worker_that_holds_takes_less_than_two_that_read_from_storage_again(program):
    found = program(ONCE_MORE)
    least = peak_bytes(found, found.elements, resident=True, kernels=True)
    workers, (how,) = choose([found], [4], 2, room(least, 0))
    assert (workers, how.resident) == (1, True)
    workers, (how,) = choose([found], [4], 2, room(least, MUCH))
    assert (workers, how.resident) == (2, False)


@pytest.mark.parametrize("cache", [0, 20_000_000, 80_000_000])
@pytest.mark.parametrize("memory", [40_000_000, 60_000_000, 100_000_000, 400_000_000])
def test_no_other_choice_takes_less(program, memory, cache):
    programs, units = [program(ONCE_MORE), program(OFTEN)], [3, 2]
    most = min(4, memory // max(peak_bytes(p, TILE, resident=False, kernels=True) for p in programs))
    workers, chosen = choose(programs, units, most, room(memory, cache))
    others = [
        took(programs, units, ways, other, cache // other)
        for other in range(1, most + 1)
        for ways in product(*([way for way in every(p) if way.peak_bytes <= memory // other] for p in programs))
    ]
    assert all(way.peak_bytes <= memory // workers for way in chosen)
    assert took(programs, units, chosen, workers, cache // workers) == pytest.approx(min(others))


def every(program: Program) -> list[Strategy]:
    """Return the ways to run a program, by hand."""
    windows = [(TILE << n, False) for n in range(4)] + [(program.elements, True)]
    return [Strategy(w, resident, peak_bytes(program, w, resident=resident, kernels=True)) for w, resident in windows]


def took(
    programs: Sequence[Program], units: Sequence[int], ways: Sequence[Strategy], workers: int, cache: int
) -> float:
    """Return the seconds of a stage."""
    total = Seconds()
    for program, count, way in zip(programs, units, ways, strict=True):
        for _ in range(count):
            total += seconds(program, way, cache)
    return total.of(workers)


def test_seconds_count_what_is_read_again(program):
    found = program(ONCE_MORE)
    whole = peak_bytes(found, found.elements, resident=True, kernels=True)
    held = seconds(found, Strategy(found.elements, True, whole), 0)
    streamed = seconds(found, Strategy(8 * TILE, False, 0), 0)
    inputs = 2 * 2 * LARGE[0] * LARGE[1]
    assert held.storage == 0
    assert streamed.storage == pytest.approx(inputs / 500e6)
    assert held.processor - streamed.processor == pytest.approx(inputs * 0.04e-9)
