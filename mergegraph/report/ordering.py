"""Put the items of a layered picture in an order with few crossings, and give them places in a row."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

GAP, STOP_GAP = 28.0, 14.0
SWEEPS = 24
STRAIGHTNESS = 4.0
"""How much more a stop wants to be below the other stops of its arrow than a node below its inputs."""


@dataclass(slots=True)
class Grid:
    """Items in layers: nodes, and stops of arrows that pass. Items are numbers; `above` and `below` are those they are
    joined with, `mates` the stops of the same arrow.
    """

    layers: list[list[int]]
    widths: list[float] = field(default_factory=list)
    heights: list[float] = field(default_factory=list)
    stops: list[bool] = field(default_factory=list)
    above: list[list[int]] = field(default_factory=list)
    below: list[list[int]] = field(default_factory=list)
    mates: list[list[int]] = field(default_factory=list)

    def add(self, layer: int, width: float, height: float, *, stop: bool) -> int:
        """Add an item at the end of a layer and return its number."""
        item = len(self.widths)
        self.layers[layer].append(item)
        self.widths.append(width)
        self.heights.append(height)
        self.stops.append(stop)
        self.above.append([])
        self.below.append([])
        self.mates.append([])
        return item

    def join(self, upper: int, lower: int) -> None:
        """Draw an arrow between items of neighbouring layers."""
        self.below[upper].append(lower)
        self.above[lower].append(upper)

    def straighten(self, stops: list[int]) -> None:
        """Let the stops of an arrow want to be below each other."""
        for stop in stops:
            self.mates[stop] = stops


def order(grid: Grid) -> None:
    """Sort each layer by the mean places of what its items are joined with, down and up, and keep the best order."""
    best = [list(layer) for layer in grid.layers]
    fewest = crossings(grid)
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        joined = grid.above if down else grid.below
        for upper, lower in _neighbours(grid, down=down):
            places = {item: float(i) for i, item in enumerate(upper)}
            wanted = {item: _mean([places[other] for other in joined[item]]) for item in lower}
            _sort(lower, wanted)
        _swap(grid)
        count = crossings(grid)
        if count < fewest:
            best, fewest = [list(layer) for layer in grid.layers], count
    grid.layers[:] = best


def _neighbours(grid: Grid, *, down: bool) -> list[tuple[list[int], list[int]]]:
    layers = grid.layers if down else grid.layers[::-1]
    return list(pairwise(layers))


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _sort(layer: list[int], wanted: dict[int, float | None]) -> None:
    """Sort the items that want a place; the others stay where they are."""
    free = [i for i, item in enumerate(layer) if wanted[item] is not None]
    ranked = sorted((layer[i] for i in free), key=lambda item: wanted[item] or 0.0)
    for i, item in zip(free, ranked, strict=True):
        layer[i] = item


def _swap(grid: Grid) -> None:
    """Swap neighbours in a layer wherever their own arrows cross less then."""
    for number, layer in enumerate(grid.layers):
        sides = [
            (joined, {item: i for i, item in enumerate(grid.layers[other])})
            for joined, other in ((grid.above, number - 1), (grid.below, number + 1))
            if 0 <= other < len(grid.layers)
        ]
        for i in range(len(layer) - 1):
            left, right = layer[i], layer[i + 1]
            gained = 0
            for joined, places in sides:
                pairs = [(places[a], places[b]) for a in joined[left] for b in joined[right]]
                gained += sum((a > b) - (a < b) for a, b in pairs)
            if gained > 0:
                layer[i], layer[i + 1] = right, left


def crossings(grid: Grid) -> int:
    """Return how many pairs of arrows cross."""
    return sum(_crossings(grid, upper, lower) for upper, lower in pairwise(grid.layers))


def _crossings(grid: Grid, upper: Sequence[int], lower: Sequence[int]) -> int:
    places = {item: i for i, item in enumerate(lower)}
    passed: list[int] = []
    count = 0
    for item in upper:
        ends = sorted(places[other] for other in grid.below[item])
        count += sum(len(passed) - bisect_right(passed, end) for end in ends)
        for end in ends:
            insort(passed, end)
    return count


def columns(grid: Grid) -> list[float]:
    """Return the x of every item's centre: in order, apart, and near what it is joined with."""
    xs = [0.0] * len(grid.widths)
    for layer in grid.layers:
        for item, x in zip(layer, _starts(grid, layer), strict=True):
            xs[item] = x
    for sweep in range(SWEEPS):
        last = sweep >= SWEEPS - 2
        down = sweep % 2 == 0
        for layer in grid.layers if down else grid.layers[::-1]:
            _settle(grid, layer, xs, above=down or last, below=not down or last)
    return xs


def _starts(grid: Grid, layer: Sequence[int]) -> list[float]:
    """Return places side by side."""
    found = [0.0] * len(layer)
    for i in range(1, len(layer)):
        found[i] = found[i - 1] + _distance(grid, layer[i - 1], layer[i])
    return found


def _distance(grid: Grid, left: int, right: int) -> float:
    gap = STOP_GAP if grid.stops[left] and grid.stops[right] else GAP
    return (grid.widths[left] + grid.widths[right]) / 2 + gap


def _settle(grid: Grid, layer: Sequence[int], xs: list[float], *, above: bool, below: bool) -> None:
    wanted, weights = [], []
    for item in layer:
        joined = (grid.above[item] if above else []) + (grid.below[item] if below else [])
        mates = grid.mates[item]
        weight = len(joined) + STRAIGHTNESS * len(mates)
        pull = sum(xs[other] for other in joined) + STRAIGHTNESS * sum(xs[other] for other in mates)
        weights.append(weight or 0.1)
        wanted.append(pull / weight if weight else xs[item])
    for item, x in zip(layer, apart(wanted, weights, _starts(grid, layer)), strict=True):
        xs[item] = x


def apart(wanted: Sequence[float], weights: Sequence[float], starts: Sequence[float]) -> list[float]:
    """Return the places nearest to those wanted, by weighted squares, that are at least as far apart as `starts`.

    Less their start the places may not fall: neighbours that would are pooled at their mean.
    """
    pools: list[tuple[float, float, int]] = []
    for want, weight, start in zip(wanted, weights, starts, strict=True):
        value, total, count = want - start, weight, 1
        while pools and pools[-1][0] > value:
            other, mass, size = pools.pop()
            value = (value * total + other * mass) / (total + mass)
            total, count = total + mass, count + size
        pools.append((value, total, count))
    levels = [value for value, _, count in pools for _ in range(count)]
    return [level + start for level, start in zip(levels, starts, strict=True)]
