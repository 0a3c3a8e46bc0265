"""The steps of a phase: instructions, and compiled loops that take the place of some."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from ctypes import Structure, addressof, c_float, c_uint64, c_void_p
from dataclasses import dataclass
from typing import Any, TypeAlias

from mergegraph.kernels.chance import bound
from mergegraph.kernels.native import PARTIAL, SCANNED, WHOLE
from mergegraph.plan.program import Instruction, Operand, Place

Function: TypeAlias = Callable[..., None]

Call: TypeAlias = tuple[Function, list[tuple[Any, ...]]]
"""A function, and its arguments for every tile."""

Value: TypeAlias = Callable[[Operand], Any]
"""Tells the number that stands in place of an operand."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A compiled loop: `function` works on the tiles `places`, with these numbers, random masks and scans."""

    places: tuple[Place, ...]
    numbers: tuple[Operand, ...]
    draws: tuple[Instruction, ...]
    scans: tuple[Instruction, ...]
    function: Function

    def arguments(
        self,
        where: Iterable[tuple[int, int]],
        tiles: Iterable[Sequence[int]],
        value: Value,
        states: Sequence[Structure],
    ) -> list[tuple[Any, ...]]:
        """Return the arguments of `function` for every tile.

        `where` are the first element and the count of each, `tiles` the addresses of its pieces in the order of
        `places`, `states` those that the `scans` work on. MergeGraphError (MG452) if a probability is NaN.
        """
        numbers = _array(c_float, [value(x) for x in self.numbers])
        keys = _array(c_uint64, [value(draw.inputs[1]) for draw in self.draws])
        bounds = _array(c_uint64, [bound(value(draw.inputs[0])) for draw in self.draws])
        lent = _array(c_void_p, [addressof(state) for state in states])
        return [
            (count, start, _array(c_void_p, pieces), numbers, keys, bounds, lent)
            for (start, count), pieces in zip(where, tiles, strict=True)
        ]


Step: TypeAlias = Instruction | Segment

Steps: TypeAlias = tuple[tuple[Step, ...], ...]
"""What runs on each tile, phase by phase."""


def native(scan: Instruction, scalars: tuple[Any, ...], settings: dict[str, Any], parts: int, row: int) -> Any:
    """Return what C keeps of a reduction or scan.

    It sees one part of so many of a tile where a sample will do, and rows of so many elements where it looks at these.
    """
    if scan.op in WHOLE:
        return WHOLE[scan.op](scalars, **settings, row=row)
    return SCANNED[scan.op](scalars, **settings, **({"parts": parts} if scan.op in PARTIAL else {}))


def is_tile(operand: Operand) -> bool:
    """Tell whether an operand is a tile of a tensor."""
    return isinstance(operand, Place) and operand.kind != "scalar"


def _array(kind: Any, values: Sequence[Any]) -> Any:
    return (kind * len(values))(*values)
