"""Sum up a comparison by layer and kind of tensor."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Generic, TypeVar

from mergegraph.survey.kinds import place
from mergegraph.survey.results import Compared, Comparison, Conflict, Difference

F = TypeVar("F", Difference, Conflict)


@dataclass(frozen=True, slots=True)
class HeatMap(Generic[F]):
    """The figures of a stack by kind and layer, None where a layer has no tensor of the kind; without a stack, of the
    tensors outside layers, each a kind of its own."""

    stack: str | None
    rows: Mapping[str, tuple[F | None, ...]]

    @property
    def layers(self) -> int:
        """The number of layers."""
        return len(next(iter(self.rows.values())))

    def of_kind(self, kind: str) -> F:
        """Return the figures of all layers together."""
        return together([cell for cell in self.rows[kind] if cell is not None])

    def of_layer(self, layer: int) -> F | None:
        """Return the figures of all kinds together."""
        cells = [cell for row in self.rows.values() if (cell := row[layer]) is not None]
        return together(cells) if cells else None


def together(figures: list[F]) -> F:
    """Return the figures of several tensors as one."""
    return reduce(add, figures)


def difference_maps(comparison: Comparison, model: int) -> list[HeatMap[Difference]]:
    """Return how a model differs, stack by stack, then outside layers."""
    return list(_maps(comparison, lambda tensor: tensor.models.get(model)))


def conflict_maps(comparison: Comparison) -> list[HeatMap[Conflict]]:
    """Return how often models contradict each other; nothing where there is only one."""
    return list(_maps(comparison, lambda tensor: tensor.conflict))


def _maps(comparison: Comparison, figure: Callable[[Compared], F | None]) -> Iterator[HeatMap[F]]:
    prefixes = [stack.prefix for stack in comparison.stacks]
    counts: dict[str | None, int] = {stack.prefix: stack.count for stack in comparison.stacks} | {None: 1}
    cells: dict[str | None, dict[str, dict[int, list[F]]]] = {stack: {} for stack in counts}
    for tensor in comparison.tensors:
        found = figure(tensor)
        if found is not None:
            where = place(tensor.name, prefixes)
            cells[where.stack].setdefault(where.kind, {}).setdefault(where.layer or 0, []).append(found)
    for stack, kinds in cells.items():
        if kinds:
            rows = {
                kind: tuple(together(by[layer]) if layer in by else None for layer in range(counts[stack]))
                for kind, by in kinds.items()
            }
            yield HeatMap(stack, rows)
