"""Layouts: nothing overlaps, everything flows downwards, and no order or place near by is better."""

from itertools import combinations, pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from mergegraph.report.layered import layered_layout
from mergegraph.report.layout import Box, Layout
from mergegraph.report.ordering import Grid, apart, crossings, order
from mergegraph.report.picture import Picture, PictureEdge, PictureNode
from mergegraph.report.svg import draw

numbers = st.floats(-1000, 1000)
Bipartite = tuple[int, int, list[tuple[int, int]]]


@st.composite
def pictures(draw: st.DrawFn) -> Picture:
    count = draw(st.integers(0, 14))
    lines = st.lists(st.text("abc", min_size=1, max_size=30), min_size=1, max_size=4).map(tuple)
    nodes = tuple(PictureNode(f"n{i}", draw(lines), "delta") for i in range(count))
    pairs = st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)).filter(lambda pair: pair[0] != pair[1])
    labels = st.sampled_from(["", "", "density"])
    drawn = draw(st.lists(st.tuples(pairs, labels), max_size=25)) if count > 1 else []
    return Picture(nodes, tuple(PictureEdge(f"n{min(p)}", f"n{max(p)}", label) for p, label in drawn))


def overlap(one: Box, other: Box) -> bool:
    wide, high = (one.width + other.width) / 2, (one.height + other.height) / 2
    return abs(one.x - other.x) < wide - 0.01 and abs(one.y - other.y) < high - 0.01


def inside(box: Box, layout: Layout) -> bool:
    x, y = box.width / 2, box.height / 2
    return x <= box.x <= layout.width - x and y <= box.y <= layout.height - y


@settings(max_examples=60)
@given(pictures())
def test_boxes_are_apart_and_on_the_page_and_arrows_go_down(picture: Picture) -> None:
    layout = layered_layout(picture)
    assert layout.boxes.keys() == {node.id for node in picture.nodes}
    assert all(inside(box, layout) for box in layout.boxes.values())
    assert not any(overlap(a, b) for a, b in combinations(layout.boxes.values(), 2))
    for edge, route in zip(picture.edges, layout.routes, strict=True):
        source, target = layout.boxes[edge.source], layout.boxes[edge.target]
        assert len(route.points) % 3 == 1
        assert abs(route.points[0][1] - (source.y + source.height / 2)) < 0.01
        assert abs(route.points[-1][1] - (target.y - target.height / 2)) < 0.01
        assert abs(route.points[0][0] - source.x) <= source.width / 2
        assert abs(route.points[-1][0] - target.x) <= target.width / 2
        heights = [y for _, y in route.points]
        assert all(upper <= lower + 0.01 for upper, lower in pairwise(heights))
        assert (route.label is not None) == bool(edge.label)


@settings(max_examples=30)
@given(pictures())
def test_a_picture_is_drawn_the_same_every_time(picture: Picture) -> None:
    assert draw(picture, layered_layout(picture)) == draw(picture, layered_layout(picture))


def test_a_long_arrow_passes_beside_the_nodes_between() -> None:
    nodes = tuple(PictureNode(f"n{i}", ("a long line in each box",), "delta") for i in range(5))
    chain = tuple(PictureEdge(f"n{i}", f"n{i + 1}") for i in range(4))
    picture = Picture(nodes, (*chain, PictureEdge("n0", "n4")))
    layout = layered_layout(picture)
    for box in list(layout.boxes.values())[1:-1]:
        at_its_height = [x for x, y in layout.routes[-1].points if abs(y - box.y) <= box.height / 2]
        assert at_its_height
        assert all(abs(x - box.x) > box.width / 2 for x in at_its_height)


@given(st.lists(st.tuples(numbers, st.floats(0.1, 10), st.floats(0, 50)), min_size=1, max_size=8), st.data())
def test_places_are_the_nearest_that_are_far_enough_apart(
    rows: list[tuple[float, float, float]], data: st.DataObject
) -> None:
    wanted, weights, gaps = zip(*rows, strict=True)
    starts = [sum(gaps[: i + 1]) for i in range(len(rows))]
    found = apart(wanted, weights, starts)
    assert all(b - a >= gap - 1e-6 for (a, b), gap in zip(pairwise(found), gaps[1:], strict=True))

    def cost(places: list[float]) -> float:
        return sum(w * (x - want) ** 2 for x, want, w in zip(places, wanted, weights, strict=True))

    first = data.draw(numbers)
    steps = [gap + data.draw(st.floats(0, 100)) for gap in gaps[1:]]
    other = [first + sum(steps[:i]) for i in range(len(rows))]
    assert cost(found) <= cost(other) * (1 + 1e-9) + 1e-6


@st.composite
def bipartite(draw: st.DrawFn) -> Bipartite:
    upper, lower = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    pairs = st.tuples(st.integers(0, upper - 1), st.integers(0, lower - 1))
    return upper, lower, draw(st.lists(pairs, max_size=12))


def grid(shape: Bipartite) -> Grid:
    upper, lower, pairs = shape
    found = Grid([[], []])
    tops = [found.add(0, 10.0, 10.0, stop=False) for _ in range(upper)]
    bottoms = [found.add(1, 10.0, 10.0, stop=False) for _ in range(lower)]
    for top, bottom in pairs:
        found.join(tops[top], bottoms[bottom])
    return found


@given(bipartite())
def test_crossings_are_counted_as_by_comparing_all_pairs(shape: Bipartite) -> None:
    pairs = shape[2]
    naive = sum((a - c) * (b - d) < 0 for (a, b), (c, d) in combinations(pairs, 2))
    assert crossings(grid(shape)) == naive


@given(bipartite())
def test_ordering_never_adds_crossings_and_keeps_every_item(shape: Bipartite) -> None:
    found = grid(shape)
    before = crossings(found)
    members = [sorted(layer) for layer in found.layers]
    order(found)
    assert crossings(found) <= before
    assert [sorted(layer) for layer in found.layers] == members


def test_a_tangle_that_can_be_undone_is_undone() -> None:
    found = grid((5, 5, [(i, 4 - i) for i in range(5)]))
    order(found)
    assert crossings(found) == 0
