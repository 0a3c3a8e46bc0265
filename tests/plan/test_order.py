"""The order of least peak, against brute force over all orders and a simulator of its own."""

from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mergegraph.plan.order import Task, least_peak_order


@st.composite
def graphs(draw, most):
    """Random graphs of tasks; inputs have lower numbers than their users."""
    count = draw(st.integers(1, most))
    tasks = []
    for i in range(count):
        inputs = draw(st.lists(st.integers(0, i - 1), max_size=3, unique=True)) if i else []
        tasks.append(Task(tuple(inputs), draw(st.booleans()), draw(st.booleans())))
    return tasks


def peak_of(tasks, sequence):
    """Return the most results alive at a time, or None if the order is impossible; written without bit tricks."""
    alive, done, peak = set(), set(), 0
    for index in sequence:
        task = tasks[index]
        if not set(task.inputs) <= done:
            return None
        later = set(sequence) - done - {index}
        needed = {i for other in later for i in tasks[other].inputs}
        during = set(alive)
        if task.in_place:
            # The result may take the place of one input that dies here, so at most one tile is saved.
            dying = [i for i in set(task.inputs) & alive if i not in needed]
            during -= set(dying[: int(task.holds)])
        peak = max(peak, len(during) + int(task.holds))
        done.add(index)
        alive = {i for i in done if tasks[i].holds and i in needed}
    return peak


@settings(max_examples=25, deadline=None)
@given(graphs(7))
def test_it_is_the_least_of_all_orders(tasks):
    found = least_peak_order(tuple(tasks))
    peaks = [peak_of(tasks, order) for order in permutations(range(len(tasks)))]
    assert found.peak == found.bound == min(p for p in peaks if p is not None)
    assert peak_of(tasks, found.sequence) == found.peak


@settings(max_examples=60, deadline=None)
@given(graphs(40), st.integers(1, 30_000))
def test_beyond_the_effort_the_bound_holds_and_the_peak_is_real(tasks, effort):
    found = least_peak_order(tuple(tasks), effort)
    assert found.bound <= found.peak == peak_of(tasks, found.sequence)
    assert found.bound <= least_peak_order(tuple(tasks)).peak


def test_a_sum_of_many_needs_two_tiles():
    tasks = [Task((), True, True)]
    for _ in range(30):
        tasks += [Task((), True, True), Task((len(tasks) - 1, len(tasks)), True, True)]
    assert least_peak_order(tuple(tasks)).peak == 2


@pytest.mark.parametrize("width", [2, 3, 4, 5])
def test_a_balanced_tree_needs_its_depth(width):
    """Sethi and Ullman's theorem: a complete binary tree of n levels needs n registers."""
    tasks = [Task((), True, True) for _ in range(2**width)]
    layer = list(range(2**width))
    while len(layer) > 1:
        pairs = list(zip(layer[::2], layer[1::2], strict=True))
        layer = [len(tasks) + i for i in range(len(pairs))]
        tasks += [Task(pair, True, True) for pair in pairs]
    assert least_peak_order(tuple(tasks)).peak == width + 1
