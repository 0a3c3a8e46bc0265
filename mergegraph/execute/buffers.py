"""The memory of a unit, and where tiles lie in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mergegraph.dtypes import FLOAT32
from mergegraph.execute.arena import Arena, Buffer
from mergegraph.plan.plan import buffer_window
from mergegraph.plan.program import Place, Program


@dataclass(frozen=True, slots=True)
class Spot:
    """A tile: the `count` elements of the tensors from `start` on, at `offset` in the windows of the inputs."""

    start: int
    offset: int
    count: int

    @property
    def end(self) -> int:
        """Where it ends in the windows."""
        return self.offset + self.count


@dataclass(frozen=True, slots=True)
class Buffers:
    """Windows of the inputs and outputs of a unit, its registers, and the matrices that it holds whole."""

    inputs: tuple[Buffer, ...]
    outputs: tuple[Buffer, ...]
    registers: tuple[Buffer, ...]
    matrices: tuple[Buffer, ...]

    @classmethod
    def of(cls, program: Program, arena: Arena, window: int, written: int) -> Buffers:
        """Return the buffers of a unit that reads `window` elements at a time and writes `written` at a time."""
        window, written = buffer_window(program, window), buffer_window(program, written)
        return cls(
            tuple(arena.buffer(t.dtype, window) for t in program.inputs),
            tuple(arena.buffer(t.dtype, written) for t in program.outputs),
            tuple(arena.buffer(FLOAT32, program.register_elements) for _ in range(program.registers)),
            tuple(arena.buffer(t.dtype, t.count) for t in program.matrices),
        )

    def at(self, place: Place) -> Buffer:
        """Return the buffer of a place that holds tiles."""
        kinds = {"input": self.inputs, "output": self.outputs, "register": self.registers}
        return kinds[place.kind][place.index]

    def addresses(self, place: Place, spots: Sequence[Spot]) -> list[int]:
        """Return where each tile of a place begins in memory."""
        buffer = self.at(place)
        if place.kind == "register":
            return [buffer.address] * len(spots)
        begin = first_of(place, spots)
        return [buffer.address + buffer.dtype.nbytes(spot.offset - begin) for spot in spots]


def first_of(place: Place, spots: Sequence[Spot]) -> int:
    """Return what is at the begin of the window of an input or output: the first tile in those of the outputs."""
    return spots[0].offset if place.kind == "output" else 0
