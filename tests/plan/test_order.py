"""The order of least peak, against brute force over all orders and a simulator of its own."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mergegraph.plan.liveness import Task
from mergegraph.plan.order import least_peak_order, least_peak_orders


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


def all_orders(tasks, begun=()):
    """Yield every order that the tasks can run in."""
    if len(begun) == len(tasks):
        yield begun
    for index, task in enumerate(tasks):
        if index not in begun and set(task.inputs) <= set(begun):
            yield from all_orders(tasks, (*begun, index))


@st.composite
def connected_graphs(draw, most):
    """Random graphs in which every task but the first uses another, so that their orders can be counted."""
    tasks = [Task((), True, True)]
    for i in range(1, draw(st.integers(1, most))):
        inputs = draw(st.lists(st.integers(0, i - 1), min_size=1, max_size=3, unique=True))
        tasks.append(Task(tuple(inputs), draw(st.booleans()), draw(st.booleans())))
    return tasks


@settings(max_examples=40, deadline=None)
@given(st.one_of(graphs(6), connected_graphs(8)))
def test_it_is_the_least_of_all_orders(tasks):
    found = least_peak_order(tuple(tasks))
    assert found.peak == found.bound == min(peak_of(tasks, order) for order in all_orders(tasks))
    assert peak_of(tasks, found.sequence) == found.peak


def least_over_sets(tasks):
    """Return the least peak of any order, by the tiles alive after every set of finished tasks."""
    least = {frozenset(): 0}
    for _ in tasks:
        longer = {}
        for done, peak in least.items():
            for index, task in enumerate(tasks):
                if index not in done and set(task.inputs) <= done:
                    alive = {
                        i
                        for i in done
                        if tasks[i].holds and any(i in t.inputs for j, t in enumerate(tasks) if j not in done)
                    }
                    later = {i for j, t in enumerate(tasks) if j not in done and j != index for i in t.inputs}
                    dying = [i for i in set(task.inputs) & alive if i not in later]
                    saved = int(task.in_place and task.holds and bool(dying))
                    reached = max(peak, len(alive) + int(task.holds) - saved)
                    after = done | {index}
                    longer[after] = min(longer.get(after, reached), reached)
        least = longer
    return next(iter(least.values()))


@st.composite
def forests(draw):
    """Branches on a few common values, most of them alike: what the outputs of a sweep look like."""
    common = draw(st.integers(1, 3))
    tasks = [Task((), True, True) for _ in range(common)]
    shapes = draw(
        st.lists(
            st.lists(st.tuples(st.integers(0, common - 1), st.booleans()), min_size=1, max_size=3),
            min_size=1,
            max_size=2,
        )
    )
    for shape in shapes:
        for _ in range(draw(st.integers(1, 3))):
            leaves = []
            for value, in_place in shape:
                tasks.append(Task((value,), True, in_place))
                leaves.append(len(tasks) - 1)
            tasks.append(Task(tuple(leaves), False, True))
    return tasks


@settings(max_examples=25, deadline=None)
@given(forests().filter(lambda tasks: len(tasks) <= 16))
def test_branches_that_are_alike_count_as_one(tasks):
    found = least_peak_order(tuple(tasks))
    assert found.peak == found.bound == least_over_sets(tasks) == peak_of(tasks, found.sequence)


@settings(max_examples=60, deadline=None)
@given(graphs(40), st.integers(1, 30_000))
def test_beyond_the_effort_the_bound_holds_and_the_peak_is_real(tasks, effort):
    found = least_peak_order(tuple(tasks), effort=effort)
    assert found.bound <= found.peak == peak_of(tasks, found.sequence)
    assert found.bound <= least_peak_order(tuple(tasks)).peak


def test_a_graph_of_thousands_of_tasks_is_ordered_at_once():
    width = 4_000
    tasks = tuple(Task((), True, True) for _ in range(2 * width))
    tasks += tuple(Task((i, width + i), True, False) for i in range(width))
    tasks += (Task(tuple(range(2 * width, 3 * width)), True, True),)
    begin = time.process_time()
    found = least_peak_order(tasks)
    assert time.process_time() - begin < 20
    assert width <= found.bound <= found.peak <= width + 2
    assert sorted(found.sequence) == list(range(len(tasks)))


@settings(max_examples=40, deadline=None)
@given(graphs(20), graphs(20))
def test_parts_are_ordered_as_far_as_the_one_that_needs_most(one, other):
    alone = [least_peak_order(tuple(tasks)) for tasks in (one, other)]
    together = least_peak_orders([tuple(one), tuple(other)])
    assert max(found.peak for found in together) == max(found.peak for found in alone)
    assert all(peak_of(t, found.sequence) == found.peak for t, found in zip((one, other), together, strict=True))


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
