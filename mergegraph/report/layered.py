"""Find the places of a picture layer by layer, each node below all that it is computed from.

The way of Sugiyama, Tagawa and Toda (Methods for visual understanding of hierarchical system structures, 1981): layers
by longest paths, arrows cut by stops in the layers that they cross, layers put in order by barycentres, then places as
near to those of the neighbours as the order allows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import networkx as nx

from mergegraph.report.layout import LABEL_SIZE, Box, Layout, Point, Route, box_size, text_width
from mergegraph.report.networkx import to_networkx
from mergegraph.report.ordering import Grid, columns, order
from mergegraph.report.picture import Picture

MARGIN = 16.0
LAYER_GAP = 20.0
LABEL_HEIGHT = 12.0
PORT_GAP = 14.0


@dataclass(frozen=True, slots=True)
class _Row:
    """The vertical range of a layer."""

    top: float
    bottom: float


def layered_layout(picture: Picture) -> Layout:
    """Return a layout that depends on the picture alone."""
    grid, chains = _grid(picture)
    order(grid)
    xs = columns(grid)
    shift = MARGIN - min((x - grid.widths[item] / 2 for item, x in enumerate(xs)), default=0.0)
    xs = [x + shift for x in xs]
    rows = _rows(grid)
    row_of = {item: rows[i] for i, layer in enumerate(grid.layers) for item in layer}
    boxes = {}
    for item, node in enumerate(picture.nodes):
        middle = (row_of[item].top + row_of[item].bottom) / 2
        boxes[node.id] = Box(xs[item], middle, grid.widths[item], grid.heights[item])
    width = max((x + grid.widths[item] / 2 for item, x in enumerate(xs)), default=0.0) + MARGIN
    height = rows[-1].bottom + MARGIN if rows else 2 * MARGIN
    return Layout(width, height, boxes, tuple(_routes(picture, grid, chains, xs, row_of)))


def _levels(picture: Picture) -> Mapping[str, int]:
    """Return the level of each node: below its inputs, but not farther from its users than that asks for."""
    graph = to_networkx(picture)
    levels = {node: i for i, found in enumerate(nx.topological_generations(graph)) for node in found}
    for node in reversed(list(nx.lexicographical_topological_sort(graph, key=levels.__getitem__))):
        if graph.out_degree(node) > graph.in_degree(node):
            levels[node] = min(levels[user] for user in graph.successors(node)) - 1
    return levels


def _grid(picture: Picture) -> tuple[Grid, list[list[int]]]:
    """Return the items in layers, and the items that each edge passes. Stops and labels are in the odd layers."""
    levels = _levels(picture)
    sizes = [box_size(node) for node in picture.nodes]
    grid = Grid([[] for _ in range(2 * max(levels.values(), default=-1) + 1)])
    numbers = {}
    for node, size in zip(picture.nodes, sizes, strict=True):
        numbers[node.id] = grid.add(2 * levels[node.id], *size, stop=False)
    chains = []
    for edge in picture.edges:
        source, target = numbers[edge.source], numbers[edge.target]
        first, last = 2 * levels[edge.source] + 1, 2 * levels[edge.target]
        chain = [source]
        for layer in range(first, last):
            labelled = edge.label and layer == last - 1
            size = (text_width(edge.label, LABEL_SIZE) + 8.0, LABEL_HEIGHT) if labelled else (0.0, 0.0)
            chain.append(grid.add(layer, *size, stop=True))
        chain.append(target)
        for above, below in pairwise(chain):
            grid.join(above, below)
        grid.straighten(chain[1:-1])
        chains.append(chain)
    return grid, chains


def _rows(grid: Grid) -> list[_Row]:
    rows = []
    top = MARGIN
    for layer in grid.layers:
        bottom = top + max(grid.heights[item] for item in layer)
        rows.append(_Row(top, bottom))
        top = bottom + LAYER_GAP
    return rows


def _routes(
    picture: Picture, grid: Grid, chains: Sequence[Sequence[int]], xs: Sequence[float], rows: Mapping[int, _Row]
) -> Iterator[Route]:
    starts = _ports(grid, xs, [(chain[0], chain[1]) for chain in chains])
    ends = _ports(grid, xs, [(chain[-1], chain[-2]) for chain in chains])
    for edge, chain, start, end in zip(picture.edges, chains, starts, ends, strict=True):
        source, target = rows[chain[0]], rows[chain[-1]]
        half = grid.heights[chain[0]] / 2, grid.heights[chain[-1]] / 2
        points: list[Point] = [(start, (source.top + source.bottom) / 2 + half[0])]
        points += _line(points[-1], (start, source.bottom))
        for stop in (item for item in chain[1:-1] if rows[item].bottom > rows[item].top):
            x = xs[stop] - grid.widths[stop] / 2
            points += _curve(points[-1], (x, rows[stop].top))
            points += _line(points[-1], (x, rows[stop].bottom))
        points += _curve(points[-1], (end, target.top))
        points += _line(points[-1], (end, (target.top + target.bottom) / 2 - half[1]))
        beside = rows[chain[-2]]
        label = (xs[chain[-2]] + 1.0, (beside.top + beside.bottom) / 2) if edge.label else None
        yield Route(tuple(points), label)


def _ports(grid: Grid, xs: Sequence[float], pairs: Sequence[tuple[int, int]]) -> list[float]:
    """Return where on a node each arrow begins or ends, given its node and the next item on its way."""
    ways: dict[int, list[int]] = {}
    for i, (node, _) in enumerate(pairs):
        ways.setdefault(node, []).append(i)
    found = [0.0] * len(pairs)
    for node, members in ways.items():
        step = min(PORT_GAP, (grid.widths[node] - 20.0) / len(members))
        members.sort(key=lambda i: xs[pairs[i][1]])
        for place, i in enumerate(members):
            found[i] = xs[node] + (place - (len(members) - 1) / 2) * step
    return found


def _curve(start: Point, end: Point) -> list[Point]:
    """Return the rest of a curve that leaves and arrives vertically."""
    middle = (start[1] + end[1]) / 2
    return [(start[0], middle), (end[0], middle), end]


def _line(start: Point, end: Point) -> list[Point]:
    return [start, end, end]
